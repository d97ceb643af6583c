import { IPPROTO_UDP } from "@cnilab/net";
import { expect, test } from "vitest";
import type { CiliumAgent } from "../../src/agent/cilium-agent.ts";
import { ConntrackGc } from "../../src/agent/conntrack/conntrack-gc.ts";
import type { ConntrackGcConfig } from "../../src/agent/conntrack/gc-interval.ts";
import { CtTuple, TUPLE_F_IN } from "../../src/datapath/maps/conntrack-map.ts";
import { datagram, outcome } from "../datapath/datapath-lab.ts";
import { NODE_PORT, ServiceLab, serviceSpec } from "../datapath/service-lab.ts";

const MINUTES = 60_000;

/** A node that translates a client's source, and its agent's collector. */
function world(conntrackGc: ConntrackGcConfig = { intervalMs: 0, maxIntervalMs: 0 }) {
  const services = new ServiceLab();
  const one = services.node();
  const far = services.backend(services.node(), 1002);
  services.put("web", { spec: serviceSpec(4, { type: "NodePort" }) }, [{ pod: far }]);
  const client = services.client(one);
  const { clock } = services.lab;
  // What it asks of an agent.
  const agent = {
    node: { clock },
    maps: one.maps,
    config: { families: [4], conntrackGc },
    endpoints: { size: 1 },
    part: () => undefined,
  } as unknown as CiliumAgent;
  const gc = new ConntrackGc(agent);
  const ask = (srcPort = 40_000) => datagram(client, one.address, NODE_PORT, { srcPort });
  return { one, far, clock, gc, ask };
}

test("looks when the agent starts, and each five minutes where it finds nothing", () => {
  const { one, clock, gc, ask } = world();
  ask();
  gc.start();
  expect(one.maps.snat4.size).toBe(2);
  clock.advance(4 * MINUTES);
  expect(one.maps.snat4.size).toBe(2);
  clock.advance(MINUTES);
  expect([one.maps.snat4.size, one.maps.ctAny4.size]).toEqual([0, 0]);
  gc.stop();
  ask();
  clock.advance(600 * MINUTES);
  expect(one.maps.snat4.size).toBe(2);
});

test("as often as it is set", () => {
  const { one, clock, gc, ask } = world({ intervalMs: MINUTES, maxIntervalMs: 0 });
  gc.start();
  ask();
  clock.advance(2 * MINUTES);
  expect(one.maps.snat4.size).toBe(0);
});

test("where ports run out it looks at once for those that nobody needs", () => {
  const { one, far, clock, gc, ask } = world();
  gc.start();
  // Of connections that the map has given up.
  for (let port = 32_768; port <= 65_535; port++) {
    const key = new CtTuple(one.address, far.address, port, 8080, IPPROTO_UDP, TUPLE_F_IN);
    one.maps.snat4.update(key, { toAddress: 1, toPort: port, created: 0, needsCt: false });
  }
  expect(outcome(ask())).toBe("No mapping for NAT masquerade at node1");
  clock.advance(1);
  expect(outcome(ask())).toBe("connected");
  expect(one.maps.snat4.size).toBe(2);
});
