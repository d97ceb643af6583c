import { type IpAddress, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { peerNumber } from "../../test/golden/rings.ts";
import { NetworkLab } from "../../test/network-lab.ts";
import type { GossipPayload } from "../mesh/gossiper.ts";
import type { PeerDescription } from "../mesh/peer.ts";
import type { NetworkConnectionParams } from "../router/network-overlay.ts";
import type { DatapathActions } from "./datapath-ops.ts";
import { FastDatapath } from "./fast-datapath.ts";
import type { Ipsec } from "./ipsec.ts";

const REMOTE: PeerDescription = {
  name: peerNumber(2),
  nickname: "n2",
  uid: 2,
  version: 1,
  connections: new Map(),
};

/** A peer of its own, and what a connection of it says and hears. */
function connection(more: Partial<NetworkConnectionParams> = {}, ipsec?: Ipsec) {
  const lab = new NetworkLab();
  const { netns, datapath } = lab.node(1);
  const { clock } = lab;
  const fastdp = new FastDatapath({ netns, datapath: "datapath", clock, ...(ipsec && { ipsec }) });
  const mesh = lab.mesh.make(1, { overlay: fastdp.overlay, shortId: 1 });
  fastdp.overlay.startConsumingPackets(peerNumber(1), mesh.peers, () => expect.fail());
  const heard: string[] = [];
  const params: NetworkConnectionParams = {
    remote: REMOTE,
    localAddress: parseIp("10.0.0.1"),
    remoteAddress: parseIp("10.0.0.2"),
    remotePort: 6783,
    outbound: true,
    connectionUid: 7n,
    encrypted: false,
    features: new Map(),
    sendControlMessage: (tag) => heard.push(`say ${tag}`),
    established: () => heard.push("established"),
    failed: ({ message }) => heard.push(`failed: ${message}`),
    ...more,
  };
  return { lab, datapath, mesh, heard, prepare: () => fastdp.overlay.prepareConnection(params) };
}

const message: GossipPayload = { wireLength: 4 };
const key = { srcMac: 1, dstMac: 2, srcPeer: peerNumber(1), dstPeer: peerNumber(2) };

test.each<[string, Partial<NetworkConnectionParams>, string[]]>([
  ["its own port and the next", { remotePort: 6783 }, ["vxlan-6784"]],
  ["one that listens elsewhere", { remotePort: 7000 }, ["vxlan-6784", "vxlan-7001"]],
  ["one that has called", { remotePort: 41234, outbound: false }, ["vxlan-6784"]],
])("tunnels go to %s", (_, params, want) => {
  const { datapath, prepare } = connection(params);
  prepare();
  expect(datapath.ports.filter(({ type }) => type === "vxlan").map(({ name }) => name)).toEqual(
    want,
  );
});

describe("what it cannot carry", () => {
  test("frames of peers whose short id is not known yet: the next overlay may", () => {
    const { mesh, prepare } = connection();
    const forwarder = prepare();
    expect(forwarder.forward(key)).toBeUndefined();
    mesh.peers.apply([{ ...REMOTE, shortId: 0xabc }]);
    expect((forwarder.forward(key) as DatapathActions).actions[0]).toMatchObject({
      tunnel: { tunnelId: 0xabc001, local: parseIp("10.0.0.1"), remote: parseIp("10.0.0.2") },
    });
  });

  test.each<[string, IpAddress]>([["fd00::1", parseIp("fd00::1")]])(
    "IPv6: %s",
    (text, localAddress) => {
      expect(connection({ localAddress }).prepare).toThrow(`IP address ${text} is not IPv4`);
    },
  );
});

test("an acknowledgement establishes it, once; other messages are ignored", () => {
  const { heard, prepare } = connection();
  const forwarder = prepare();
  forwarder.confirm();
  forwarder.controlMessage(9, message);
  expect(heard).toEqual([]);
  forwarder.controlMessage(0, message);
  forwarder.controlMessage(0, message);
  expect(heard).toEqual(["established"]);
});

test("nobody answers: heartbeats are waited for for ten seconds, and slow down after a minute", () => {
  const unhealthy: boolean[] = [];
  const { lab, mesh, prepare } = connection({
    healthChanged: (healthy) => unhealthy.push(healthy),
  });
  mesh.peers.apply([{ ...REMOTE, shortId: 2 }]);
  lab.mesh.machine(2); // without a weaver
  prepare().confirm();
  lab.clock.advance(9_000);
  expect([unhealthy, lab.clock.pending > 0]).toEqual([[], true]);
  lab.clock.advance(3_000);
  expect(lab.clock.pending).toBe(0);
  lab.clock.advance(47_000);
  expect(unhealthy).toEqual([]);
  lab.clock.advance(2000);
  expect(unhealthy).toEqual([false]);
  lab.clock.advance(10_000);
  expect(lab.clock.pending).toBe(0);
});

describe("encrypted", () => {
  /** Says what is asked of it. */
  function ipsecThat(asked: string[], fails?: string): Ipsec {
    const ask = (what: string) => {
      asked.push(what);
      if (what === fails) throw new Error(`no ${what}`);
    };
    return {
      initSaLocal: ({ remotePort }) => {
        ask("local");
        return { wireLength: remotePort };
      },
      initSaRemote: () => ask("remote"),
      destroy: () => ask("destroy"),
      flush: (destroy) => ask(`flush ${destroy}`),
    };
  }

  test("it says what it takes, and beats when it has heard what the other end takes", () => {
    const asked: string[] = [];
    const { heard, lab, mesh, prepare } = connection({ encrypted: true }, ipsecThat(asked));
    mesh.peers.apply([{ ...REMOTE, shortId: 2 }]);
    const forwarder = prepare();
    forwarder.confirm();
    expect([asked, heard]).toEqual([["flush false", "local"], ["say 1"]]);
    const sent = () => lab.node(1).netns.device("vxlan-6784").txPackets;
    lab.clock.advance(5000);
    expect(sent()).toBe(0);
    forwarder.controlMessage(1, message);
    lab.clock.advance(400);
    expect(sent()).toBe(1);
    forwarder.stop();
    expect(asked).toEqual(["flush false", "local", "remote", "destroy"]);
  });

  test.each(["local", "remote"])("what the kernel refuses (%s) ends it", (fails) => {
    const { heard, prepare } = connection({ encrypted: true }, ipsecThat([], fails));
    const forwarder = prepare();
    forwarder.confirm();
    forwarder.controlMessage(1, message);
    expect(heard.at(-1)).toBe(`failed: no ${fails}`);
  });

  test("not where both ends are trusted", () => {
    const asked: string[] = [];
    const { heard, prepare } = connection({ encrypted: false }, ipsecThat(asked));
    prepare().confirm();
    expect([asked, heard]).toEqual([["flush false"], []]);
  });
});
