import { attachTcx, BpfProgram, Skb, TC_ACT_OK, type TcContext } from "@cnilab/linux";
import {
  Data,
  ETH_P_IPV6,
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMPV6,
  IPPROTO_UDP,
  IpPacket,
  NDISC_NEIGHBOUR_ADVERTISEMENT,
  NDISC_NEIGHBOUR_SOLICITATION,
  NeighbourMessage,
  Prefix,
  parseIp,
  UdpDatagram,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  connect,
  dropsOf,
  isolate,
  type LabOptions,
  type LabPod,
  outcome,
  ping,
  serve,
  twoNodes,
} from "./datapath-lab.ts";

function world(options: LabOptions = {}) {
  const made = twoNodes(options);
  const { a, b, c } = made;
  for (const { netns } of [a, b, c]) serve(netns, 80);
  return made;
}

/** A packet that a pod makes by itself. */
function send(from: LabPod, ip: IpPacket, etherType?: number): void {
  const skb = Skb.ofIp(ip, undefined);
  if (etherType !== undefined) skb.etherType = etherType;
  skb.srcMac = from.eth0.mac;
  skb.dstMac = from.lxc.mac;
  from.eth0.queueTransmit(skb);
  from.node.lab.network.run();
}

function udp(src: string, dst: string, ttl = 64): IpPacket {
  return new IpPacket(parseIp(src), parseIp(dst), IPPROTO_UDP, new UdpDatagram(1, 2), ttl);
}

describe("what a pod sends is dropped", () => {
  const CASES: readonly (readonly [string, IpPacket, number | undefined, readonly number[]])[] = [
    ["with another's address", udp("10.0.1.99", "10.0.1.11"), undefined, [132]],
    ["of a protocol that is no IP", udp("10.0.1.10", "10.0.1.11"), 0x88b5, [139]],
    [
      "of a family that the cluster has not",
      new IpPacket(parseIp("fd00::1"), parseIp("fd00::2"), IPPROTO_UDP, new UdpDatagram(1, 2)),
      undefined,
      [139],
    ],
    ["when its time to live is over", udp("10.0.1.10", "10.0.1.11", 1), undefined, [196]],
    [
      "of a transport that nobody tracks",
      new IpPacket(parseIp("10.0.1.10"), parseIp("10.0.1.11"), 50, new Data(20)),
      undefined,
      [137],
    ],
    [
      "with no header where one should be",
      new IpPacket(parseIp("10.0.1.10"), parseIp("10.0.1.11"), IPPROTO_UDP, new Data(2)),
      undefined,
      [135],
    ],
  ];
  test.each(CASES)("%s", (_name, ip, etherType, reasons) => {
    const { one, a } = world();
    const messages = one.listen();
    send(a, ip, etherType);
    expect(dropsOf(messages)).toEqual(reasons);
    // Each is counted, and an endpoint's.
    const [reason] = reasons;
    expect(one.maps.metrics.find({ reason: reason as number, direction: 2 })?.count).toBe(1);
    expect(messages.find(({ type }) => type === 1)).toMatchObject({ source: a.id, srcLabel: 1001 });
  });
});

test("who is not in the ipcache is of the world", () => {
  const { lab, one, b } = world();
  isolate(b.policy, false);
  const stranger = lab.outside();
  const messages = one.listen();
  expect(outcome(connect(stranger, b.address, 80))).toBe("Policy denied at node1");
  expect(messages.find(({ type }) => type === 5)).toMatchObject({ remoteLabel: 2 });
  const key = { clusterId: 0, address: parseIp("0.0.0.0"), prefixLength: 0 };
  one.maps.ipcache.delete(key);
  messages.length = 0;
  expect(outcome(connect(stranger, b.address, 80))).toBe("Policy denied at node1");
  expect(messages.find(({ type }) => type === 5)).toMatchObject({ remoteLabel: 2 });
});

test("with native routing the receiver's ipcache says who sends; a stale one is another's identity", () => {
  const { two, a, c } = world();
  const messages = two.listen();
  two.tell("10.0.1.10", { identity: 4242 });
  ping(a.netns, c.address);
  expect(messages.find(({ type }) => type === 5)).toMatchObject({ remoteLabel: 4242 });
});

test.each(["vxlan", "geneve"] as const)(
  "through %s the sender's identity comes along",
  (tunnel) => {
    const { one, two, a, c } = world({ tunnel });
    const messages = two.listen();
    two.tell("10.0.1.10", { identity: 4242, tunnelEndpoint: one.address });
    expect(outcome(ping(a.netns, c.address))).toBe("connected");
    expect(messages.find(({ type }) => type === 5)).toMatchObject({ remoteLabel: 1001 });
    // Of what a node sends the receiver's ipcache says which it is.
    one.markOwnPackets();
    two.tell("10.0.1.1", { identity: 7, tunnelEndpoint: one.address });
    messages.length = 0;
    ping(one.netns, c.address);
    expect(messages.find(({ type }) => type === 5)).toMatchObject({ remoteLabel: 7 });
  },
);

test("nobody may say through a tunnel that he is the host", () => {
  const { one, two, a, c } = world({ tunnel: "vxlan" });
  const forge = (ctx: TcContext): number => {
    const { tunnelKey } = ctx;
    if (tunnelKey !== undefined) ctx.setTunnelKey({ ...tunnelKey, tunnelId: 1 });
    return TC_ACT_OK;
  };
  const options = { type: "sched_cls", name: "forge", run: forge } as const;
  const program = new BpfProgram(one.netns.kernel, options);
  attachTcx(one.netns.device("cilium_vxlan"), "egress", program, { first: true });
  const messages = two.listen();
  expect(outcome(ping(a.netns, c.address))).toBe("Invalid identity at node2");
  expect(dropsOf(messages)).toEqual([171]);
});

test("without a tunnel endpoint nothing is encapsulated, and the host does not know whose it is", () => {
  const { one, two, a, c } = world({ tunnel: "vxlan" });
  one.tell("10.0.2.10", { identity: 1003 });
  const messages = one.listen();
  expect(outcome(ping(a.netns, c.address))).not.toBe("connected");
  one.tell("10.0.2.10", { identity: 1003, tunnelEndpoint: two.address, skipTunnel: true });
  expect(outcome(ping(a.netns, c.address))).not.toBe("connected");
  one.maps.ipcache.delete({ clusterId: 0, address: parseIp("10.0.2.10"), prefixLength: 32 });
  messages.length = 0;
  expect(outcome(ping(one.netns, c.address))).toBe("Stale or unroutable IP at node1");
  expect(dropsOf(messages)).toEqual([151]);
});

describe("IPv6", () => {
  test("the sender is told that the hop limit was too small", () => {
    const { a, b } = world({ family: 6 });
    const answers: number[] = [];
    const options = {
      type: "sched_cls",
      name: "note",
      run: (ctx: TcContext) => {
        const { payload } = ctx.ip;
        if (payload instanceof IcmpMessage) answers.push(payload.type);
        return TC_ACT_OK;
      },
    } as const;
    attachTcx(a.eth0, "ingress", new BpfProgram(a.netns.kernel, options));
    const echo = IcmpMessage.echo(ICMPV6_ECHO_REQUEST, 7, 1);
    send(a, new IpPacket(a.address, b.address, IPPROTO_ICMPV6, echo, 1));
    expect(answers).toEqual([3]);
  });

  test.each([
    ["the router", "fd00:1::1", "advertised as router"],
    ["another pod of the node", "fd00:1::11", "advertised"],
    ["nobody that is known", "fd00:1::77", "dropped"],
  ])("a solicitation for %s", (_name, target, expected) => {
    const { one, a } = world({ family: 6 });
    const seen: NeighbourMessage[] = [];
    const options = {
      type: "sched_cls",
      name: "note",
      run: (ctx: TcContext) => {
        if (ctx.protocol === ETH_P_IPV6 && ctx.ip.payload instanceof NeighbourMessage) {
          seen.push(ctx.ip.payload);
        }
        return TC_ACT_OK;
      },
    } as const;
    attachTcx(a.eth0, "ingress", new BpfProgram(a.netns.kernel, options));
    const messages = one.listen();
    const address = parseIp(target) as Exclude<ReturnType<typeof parseIp>, number>;
    const message = new NeighbourMessage(NDISC_NEIGHBOUR_SOLICITATION, address, a.eth0.mac);
    send(a, new IpPacket(a.address, address, IPPROTO_ICMPV6, message, 255));
    if (expected === "dropped") {
      expect(dropsOf(messages)).toEqual([150]);
      return;
    }
    const [answer] = seen;
    expect(answer?.type).toBe(NDISC_NEIGHBOUR_ADVERTISEMENT);
    expect(answer?.linkLayerAddress).toBe(a.lxc.mac);
    expect(answer?.router).toBe(expected === "advertised as router");
  });
});

describe("ARP", () => {
  test("is answered for any address but the pod's own, as there may be routers of before", () => {
    const { lab, a } = world();
    a.netns.addRoute({
      dst: parseHost("1.2.3.4"),
      via: parseIp("10.0.1.200"),
      dev: a.eth0,
      onlink: true,
    });
    ping(a.netns, parseIp("1.2.3.4"));
    expect(a.netns.neighboursOf(a.eth0).get(parseIp("10.0.1.200"))?.mac).toBe(a.lxc.mac);
    expect([...lab.network.unresolved]).toEqual([]);
  });
});

function parseHost(text: string) {
  return Prefix.host(parseIp(text));
}
