import { type ApiClient, SeededRandom, VirtualClock } from "@cnilab/core";
import { BpfEventArray, Kernel, Network } from "@cnilab/linux";
import {
  ETH_P_IP,
  EthernetFrame,
  IPPROTO_TCP,
  IpPacket,
  parseIp,
  TCP_SYN,
  TcpSegment,
} from "@cnilab/net";
import { NEVER } from "rxjs";
import { expect, test } from "vitest";
import type { FlowIdentities } from "./cluster-lookups.ts";
import { EVENTS_MAP, Hubble } from "./hubble.ts";
import type { MonitorMessage, TraceMessage } from "./monitor-message.ts";
import { MESSAGE_TYPE, TRACE_REASON } from "./monitor-messages.ts";

const NOTHING = {
  watch: () => NEVER,
  get: () => undefined,
  list: () => [],
} as unknown as ApiClient;

/** Of a node's program: a SYN to 10.0.1.2. */
function traceOf(node: string): TraceMessage {
  const segment = new TcpSegment(41_234, 80, TCP_SYN);
  const packet = new IpPacket(parseIp("10.0.0.1"), parseIp("10.0.1.2"), IPPROTO_TCP, segment);
  return {
    type: MESSAGE_TYPE.trace,
    node,
    time: 0,
    frame: new EthernetFrame(1, 2, ETH_P_IP, packet),
    source: 1,
    obsPoint: 0,
    reason: TRACE_REASON.policy,
    srcLabel: 30_002,
    dstLabel: 30_001,
    ifindex: 1,
  };
}

test("hears what programs tell while it listens, and no program tells anything else", () => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const kernel = new Kernel(network, "n1");
  const events = new BpfEventArray<MonitorMessage>(kernel, { name: EVENTS_MAP, maxEntries: 1 });
  new BpfEventArray<MonitorMessage>(kernel, { name: "other", maxEntries: 1 });
  const message = traceOf("n1");
  expect(events.isRead).toBe(false);
  const hubble = new Hubble({ network, api: NOTHING, nodes: new Map([["n1", kernel]]) });
  expect(events.isRead).toBe(true);
  const followed: unknown[] = [];
  hubble.follow((flow) => followed.push(flow));
  events.output(message);
  hubble.stop();
  expect(events.isRead).toBe(false);
  expect(network.tracepoints).toBeUndefined();
  events.output(message);
  expect([...hubble.ring]).toEqual(followed);
  expect(followed).toMatchObject([
    { node_name: "n1", source: { identity: 30_002 }, destination: { identity: 30_001 } },
  ]);
});

test("a node whose agent is away is not heard of until it is back", () => {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const names = ["n1", "n2"];
  const nodes = new Map(names.map((name) => [name, new Kernel(network, name)] as const));
  const events = [...nodes].map(([, kernel]) => {
    return new BpfEventArray<MonitorMessage>(kernel, { name: EVENTS_MAP, maxEntries: 1 });
  });
  const away = new Set(["n2"]);
  const identities: FlowIdentities = {
    isObserved: (node) => !away.has(node),
    identityOf: () => 0,
    endpointId: () => 0,
    labelsOf: () => [],
    namesOf: () => [],
  };
  const hubble = new Hubble({ network, api: NOTHING, nodes, identities });
  const heard: unknown[] = [];
  hubble.follow(({ node_name }) => heard.push(node_name));
  const tell = () => {
    for (const [i, name] of names.entries()) events[i]?.output(traceOf(name));
  };
  tell();
  expect(heard).toEqual(["n1"]);
  away.clear();
  tell();
  // What was told meanwhile is lost.
  expect(heard).toEqual(["n1", "n1", "n2"]);
  hubble.stop();
});
