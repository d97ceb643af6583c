import { attachTcx, BpfProgram, TC_ACT_OK, type TcContext, UdpSocket } from "@cnilab/linux";
import {
  Data,
  formatEndpoint,
  formatIp,
  ICMP_DEST_UNREACH,
  IcmpMessage,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpPacket,
  type Prefix,
  parseIp,
  parsePrefix,
  type QuotedPacket,
  type UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { CtTuple, TUPLE_F_IN, TUPLE_F_OUT } from "../../src/datapath/maps/conntrack-map.ts";
import type { NodeConfig } from "../../src/datapath/node-config.ts";
import {
  connect,
  DatapathLab,
  datagram,
  dropsOf,
  type LabNode,
  type LabOptions,
  outcome,
  ping,
  serve,
} from "./datapath-lab.ts";
import { NODE_PORT, ServiceLab, serviceSpec } from "./service-lab.ts";

const FIRST_PORT = 32_768;
const LAST_PORT = 65_535;

/** A node whose NodePort has its only backend on another one, so that it translates sources. */
function world(family: 4 | 6 = 4) {
  const services = new ServiceLab({ family });
  const one = services.node();
  const far = services.backend(services.node(), 1002);
  services.put("web", { spec: serviceSpec(family, { type: "NodePort" }) }, [{ pod: far }]);
  const ask = (number: number, srcPort: number) => {
    const client = clients[number] as (typeof clients)[number];
    return datagram(client, one.address, NODE_PORT, { srcPort });
  };
  const clients = [services.client(one), services.client(one)];
  return { services, one, far, clients, ask };
}

describe.each([4, 6] as const)("ports of translated sources, IPv%i", (family) => {
  test("stay as they are where they are free and in the range", () => {
    const { ask } = world(family);
    expect(ask(0, 40_000).report?.seenPort).toBe(40_000);
    expect(ask(0, 40_001).report?.seenPort).toBe(40_001);
  });

  test("are others where somebody has them, and for those below the range", () => {
    const { ask } = world(family);
    ask(0, 40_000);
    const taken = ask(1, 40_000).report?.seenPort;
    expect(taken).not.toBe(40_000);
    const low = ask(0, 1234).report?.seenPort;
    for (const port of [taken, low]) {
      expect(port).toBeGreaterThanOrEqual(FIRST_PORT);
      expect(port).toBeLessThanOrEqual(LAST_PORT);
    }
    // A connection keeps what it was given.
    expect(ask(1, 40_000).report?.seenPort).toBe(taken);
    expect(ask(0, 1234).report?.seenPort).toBe(low);
  });

  test("that are all taken: 32 tries, then a drop", () => {
    const { one, far, ask, clients } = world(family);
    const map = one.maps.snat(family);
    const other = parseIp(family === 4 ? "192.0.2.1" : "2001:db8::1");
    for (let port = FIRST_PORT; port <= LAST_PORT; port++) {
      const key = new CtTuple(one.address, far.address, port, 8080, IPPROTO_UDP, TUPLE_F_IN);
      map.update(key, { toAddress: other, toPort: port, created: 0, needsCt: false });
    }
    const told = one.listen();
    expect(ask(0, 40_000).outcome).not.toBe("connected");
    expect(dropsOf(told)).toEqual([167]);
    // TCP has ports of its own.
    expect(outcome(connect(clients[0] as (typeof clients)[number], one.address, NODE_PORT))).toBe(
      "connected",
    );
  });

  test("one entry of a pair, if the map has given it up, is made again by what has the other", () => {
    const { one, far, ask } = world(family);
    const map = one.maps.snat(family);
    expect(ask(0, 40_000).report?.seenPort).toBe(40_000);
    const remove = (flags: number) => {
      const found = map.entries().find(([key]) => (key.flags & TUPLE_F_IN) === flags);
      map.delete((found as typeof found & {})[0]);
      expect(map.size).toBe(1);
    };
    remove(TUPLE_F_IN);
    expect(ask(0, 40_000).report?.seenPort).toBe(40_000);
    expect(map.size).toBe(2);
    remove(TUPLE_F_OUT);
    const answer = new UdpSocket(far.netns, {
      localAddress: far.address,
      localPort: 8080,
      remoteAddress: one.address,
      remotePort: 40_000,
      owner: "server",
    });
    answer.sendTo(one.address, 40_000, new Data(8));
    answer.close();
    expect(map.size).toBe(2);
    expect(ask(0, 40_000).report?.seenPort).toBe(40_000);
    // A client whose way out is forgotten before is another to the backend.
    remove(TUPLE_F_OUT);
    expect(ask(0, 40_000).report?.seenPort).not.toBe(40_000);
  });
});

test("SNAT maps that are full give up what nobody uses", () => {
  const services = new ServiceLab({ sizes: { snat: 20 } });
  const one = services.node();
  const far = services.backend(services.node(), 1002);
  services.put("web", { spec: serviceSpec(4, { type: "NodePort" }) }, [{ pod: far }]);
  const client = services.client(one);
  for (let i = 0; i < 50; i++) {
    const done = datagram(client, one.address, NODE_PORT, { srcPort: 40_000 + i });
    expect(outcome(done)).toBe("connected");
  }
  expect(one.maps.snat4.size).toBe(20);
  expect(one.maps.snat4.evictions).toBeGreaterThan(0);
});

test("a full map of connections drops nothing: it is an LRU map, too", () => {
  const services = new ServiceLab({ sizes: { ctAny: 20 } });
  const one = services.node();
  const near = services.backend(one, 1001);
  services.put("web", { spec: serviceSpec(4, { type: "NodePort" }) }, [{ pod: near }]);
  const client = services.client(one);
  for (let i = 0; i < 50; i++) {
    const done = datagram(client, one.address, NODE_PORT, { srcPort: 40_000 + i });
    expect(outcome(done)).toBe("connected");
  }
  expect(one.maps.ctAny4.size).toBe(20);
});

/** Packets that come into a machine's `eth0`. */
function received(netns: LabNode["netns"]): IpPacket[] {
  const packets: IpPacket[] = [];
  attachTcx(
    netns.device("eth0"),
    "ingress",
    new BpfProgram(netns.kernel, {
      type: "sched_cls",
      name: "capture",
      run: (ctx: TcContext) => {
        if (ctx.isIp) packets.push(ctx.ip.clone());
        return TC_ACT_OK;
      },
    }),
  );
  return packets;
}

test.each([
  ["with BPF masquerading", true],
  ["without: errors are no service's affair", false],
])("an error about a translated packet reaches who sent it, %s", (_name, bpfMasqueradeIpv4) => {
  const services = new ServiceLab({ config: { bpfMasqueradeIpv4 } });
  const one = services.node();
  const silent = services.node().pod(1002);
  const spec = serviceSpec(4, { type: "NodePort" });
  services.put("web", { spec }, [{ pod: silent }]);
  const client = services.client(one);
  const packets = received(client);
  datagram(client, one.address, NODE_PORT, { srcPort: 1234 });
  const error = packets.find(({ payload }) => payload instanceof IcmpMessage);
  if (!bpfMasqueradeIpv4) {
    expect(error).toBeUndefined();
    return;
  }
  const message = error?.payload as IcmpMessage;
  expect([message.type, error?.dst]).toEqual([ICMP_DEST_UNREACH, services.clientAddress(0)]);
  const { packet } = message.payload as QuotedPacket;
  const { srcPort } = packet.payload as UdpDatagram;
  expect(formatEndpoint(packet.src, srcPort)).toBe(formatEndpoint(services.clientAddress(0), 1234));
  // The backend stays in it: answers that are errors are not given the service's address.
  expect(packet.dst).toBe(silent.address);
});

/** Nodes that masquerade, and a machine outside that knows no pods. */
function masquerade(options: LabOptions = {}, config: Partial<NodeConfig> = {}) {
  const family = options.family ?? 4;
  // The device's number, as the lab makes it.
  const [ifindex] = [2];
  const address = parseIp(family === 4 ? "192.168.0.11" : "fd00:aa::11");
  const addresses = new Map<number, IpAddress>([[ifindex, address]]);
  const lab = new DatapathLab({
    ...options,
    config: {
      lb: { ...new ServiceLab({ family }).lb },
      masqueradeIpv4: (family === 4 ? addresses : new Map()) as NodeConfig["masqueradeIpv4"],
      masqueradeIpv6: (family === 6 ? addresses : new Map()) as NodeConfig["masqueradeIpv6"],
      bpfMasqueradeIpv4: family === 4,
      bpfMasqueradeIpv6: family === 6,
      ...options.config,
      ...config,
    },
  });
  const one = lab.node();
  expect(one.eth0.ifindex).toBe(ifindex);
  const pod = one.pod(1001);
  const outside = lab.outside();
  serve(outside, 443);
  serve(outside, 53, IPPROTO_UDP);
  const seen = () => {
    const done = connect(pod.netns, lab.nodeAddress(99), 443);
    expect(outcome(done)).toBe("connected");
    return formatIp(done.report?.seenAddress ?? 0);
  };
  return { lab, one, pod, outside, seen };
}

describe.each([4, 6] as const)("masquerading by programs, IPv%i", (family) => {
  test.each<[string, LabOptions]>([
    ["native", {}],
    ["native with BPF host routing", { config: { hostRouting: true } }],
    ["VXLAN", { tunnel: "vxlan" }],
  ])("to the world, %s", (_name, options) => {
    const { lab, one, pod, seen } = masquerade({ family, ...options });
    expect(seen()).toBe(formatIp(one.address));
    expect(outcome(datagram(pod.netns, lab.nodeAddress(99), 53))).toBe("connected");
    expect(outcome(ping(pod.netns, lab.nodeAddress(99)))).toBe("connected");
  });

  test("not for who answers", () => {
    const { pod, outside } = masquerade({ family });
    serve(pod.netns, 80);
    const done = connect(outside, pod.address, 80);
    expect(outcome(done)).toBe("connected");
  });

  const everywhere = parsePrefix(family === 4 ? "192.168.0.0/16" : "fd00:aa::/32");
  const elsewhere = parsePrefix(family === 4 ? "10.0.0.0/8" : "fd00::/120");
  const exclude = (prefix: Prefix): Partial<NodeConfig> =>
    family === 4 ? { snatExclusionIpv4: prefix } : { snatExclusionIpv6: prefix };

  test("not to the native routing range", () => {
    const within = masquerade({ family }, exclude(everywhere));
    expect(within.seen()).toBe(formatIp(within.pod.address));
    const without = masquerade({ family }, exclude(elsewhere));
    expect(without.seen()).toBe(formatIp(without.one.address));
  });

  test("not to ranges of ip-masq-agent", () => {
    const { one, pod, seen } = masquerade({ family }, { ipMasqAgent: true });
    expect(seen()).toBe(formatIp(one.address));
    one.maps.ipMasq(family).update(everywhere, true);
    expect(seen()).toBe(formatIp(pod.address));
  });

  test.each<[string, LabOptions, { skipTunnel?: boolean }, boolean]>([
    ["not without a tunnel", {}, {}, false],
    ["with one", { tunnel: "vxlan" }, {}, true],
    ["not with one that is passed by", { tunnel: "vxlan" }, { skipTunnel: true }, false],
  ])("to other nodes: %s", (_name, options, flags, isTranslated) => {
    const { lab, one, pod, seen } = masquerade({ family, ...options });
    one.tell(formatIp(lab.nodeAddress(99)), { identity: 6, ...flags });
    expect(seen()).toBe(formatIp(isTranslated ? one.address : pod.address));
  });

  test("the node's own connections keep their ports from pods", () => {
    const { lab, one, pod } = masquerade({ family });
    const dst = lab.nodeAddress(99);
    const host = datagram(one.netns, dst, 53, { srcPort: 40_000 });
    expect(host.report?.seenPort).toBe(40_000);
    const from = datagram(pod.netns, dst, 53, { srcPort: 40_000 });
    expect(outcome(from)).toBe("connected");
    expect(from.report?.seenPort).not.toBe(40_000);
    // It is followed as a connection, so that the agent sees when it is over.
    expect(one.maps.ct(one.address, IPPROTO_UDP).size).toBeGreaterThan(0);
  });
});

test("TCP and UDP have ports of their own", () => {
  const { one, ask, clients } = world();
  ask(0, 40_000);
  const done = connect(clients[1] as (typeof clients)[number], one.address, NODE_PORT, {
    srcPort: 40_000,
  });
  expect(done.report?.seenPort).toBe(40_000);
  const protocols = one.maps.snat4.entries().map(([{ nexthdr }]) => nexthdr);
  expect(new Set(protocols)).toEqual(new Set([IPPROTO_TCP, IPPROTO_UDP]));
});
