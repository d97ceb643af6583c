import { Data, formatIp, formatMac, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cable, forwarding, Lab, ping, routeSpec, routes, up } from "../test/lab.ts";
import { Bridge } from "./bridge/bridge.ts";
import type { BridgePort } from "./bridge/bridge-port.ts";
import { Vxlan } from "./device/vxlan.ts";
import type { NetNamespace } from "./net-namespace.ts";
import { UdpSocket } from "./socket/udp.ts";

// A flow's packets that are repeated without walking must leave everything as if each had been walked.

/** As Flannel and kube-proxy program them, for the Service 10.96.0.10 with the pod of the other node behind it. */
const RULES = `
*nat
-A PREROUTING -d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.244.2.2:53
-A POSTROUTING -s 10.244.0.0/16 ! -d 10.244.0.0/16 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 10.244.0.0/16 -j ACCEPT
COMMIT
`;
const SERVICE = parseIp("10.96.0.10");

/** Two nodes as Flannel makes them: pods on cni0, vxlan between. A pod on each, a third one on the first. */
class Cluster {
  readonly lab = new Lab();
  readonly nodes: NetNamespace[] = [];
  readonly pods: NetNamespace[] = [];
  readonly heard: string[] = [];
  readonly #walks: boolean;
  readonly #sockets: UdpSocket[];

  constructor(walks: boolean) {
    this.#walks = walks;
    for (const n of [1, 2]) this.#node(n);
    this.#pod(1, 2);
    this.#pod(2, 2);
    this.#pod(1, 3);
    for (const pod of this.pods) {
      new UdpSocket(pod, {
        localPort: 53,
        owner: "server",
        onReceive: ({ src, srcPort, payload, dev }) =>
          this.heard.push(`${pod.name} ${dev.name} ${formatIp(src)}:${srcPort} ${payload.length}`),
      });
    }
    this.#sockets = this.pods.map(
      (pod) => new UdpSocket(pod, { localPort: 4000, owner: "client" }),
    );
  }

  #node(n: number): void {
    const node = this.lab.host(`node${n}`, `192.168.0.${n}/24`);
    forwarding(node);
    up(new Bridge(node, { name: "cni0", mac: 0x0a0000000000 + n }), `10.244.${n}.1/24`);
    const options = {
      vni: 1,
      mac: 0x0b0000000000 + n,
      local: parseIp(`192.168.0.${n}`),
      learning: false,
    };
    const vxlan = up(
      new Vxlan(node, { name: "flannel.1", link: node.device("eth0"), ...options }),
      `10.244.${n}.0/32`,
    );
    node.sysctl.set("net/netfilter/nf_conntrack_acct", "1");
    node.iptables(4).restore(RULES);
    const other = 3 - n;
    routes(node, `10.244.${other}.0/24 via 10.244.${other}.0 dev flannel.1 onlink`);
    node.neighboursOf(vxlan).replace(parseIp(`10.244.${other}.0`), 0x0b0000000000 + other);
    vxlan.replaceFdb(0x0b0000000000 + other, parseIp(`192.168.0.${other}`));
    this.nodes.push(node);
  }

  #pod(node: number, last: number): void {
    const host = this.nodes[node - 1] as NetNamespace;
    const pod = host.kernel.addNamespace(`pod${node}-${last}`);
    pod.loopback.setUp();
    const [port, eth0] = cable(host, `veth${last}`, pod, "eth0");
    port.setMaster(host.device("cni0") as Bridge);
    up(eth0, `10.244.${node}.${last}/24`);
    routes(pod, `0.0.0.0/0 via 10.244.${node}.1`);
    this.pods.push(pod);
  }

  port(pod: number): BridgePort {
    const host = this.nodes[pod === 1 ? 1 : 0] as NetNamespace;
    return host.device(pod === 2 ? "veth3" : "veth2").bridgePort as BridgePort;
  }

  /** @param to a pod, or 3 for the Service */
  send(from: number, to: number, times: number, length: number): void {
    const dst = to === 3 ? SERVICE : this.pods[to]?.device("eth0").addressesOf(4)[0]?.address;
    if (dst === undefined) return;
    const socket = this.#sockets[from] as UdpSocket;
    for (let i = 0; i < times; i++) {
      // Only a call without options may be repeated from the cache.
      if (this.#walks) socket.sendTo(dst, 53, new Data(length), {});
      else socket.sendTo(dst, 53, new Data(length));
    }
  }

  /** Everything that a packet can leave behind. */
  get state(): unknown {
    const { network } = this.lab;
    network.settleFlows();
    const all = [...this.nodes, ...this.pods];
    return {
      heard: [...this.heard],
      now: this.lab.clock.now,
      waiting: network.unresolved.size,
      devices: all.flatMap((netns) =>
        netns.devices.map((d) => [
          `${netns}/${d.name}`,
          [d.rxPackets, d.rxBytes, d.txPackets, d.txBytes, d.rxDropped, d.txDropped],
          [...(d.neighbours?.entries() ?? [])].map((x) => [
            formatIp(x.ip),
            formatMac(x.mac),
            x.state,
            x.used,
            x.confirmed,
          ]),
          d instanceof Bridge
            ? [...d.fdb.entries()].map((e) => [e.mac, e.port?.dev.name, e.updated])
            : [],
        ]),
      ),
      rules: this.nodes.map((node) => node.iptables(4).save(undefined, { counters: true })),
      connections: this.nodes.flatMap((node) =>
        [...(node.conntrack?.entries() ?? [])].map((e) => [
          e.tuple(0),
          e.reply,
          e.status,
          e.remainingMs,
          e.counter(0),
          e.counter(1),
        ]),
      ),
      nextIds: all.map((netns) => netns.nextPacketId()),
    };
  }
}

type Step = (cluster: Cluster) => void;

const pod = fc.nat(2);
const send: fc.Arbitrary<[string, Step]> = fc
  .tuple(pod, fc.nat(3), fc.integer({ min: 1, max: 5 }), fc.constantFrom(10, 1000, 1450))
  .map(([from, to, times, length]) => [
    `send ${from} ${to} ${times} times ${length}`,
    (c) => c.send(from, to, times, length),
  ]);

const change: fc.Arbitrary<[string, Step]> = fc.oneof(
  fc
    .constantFrom(1, 100, 4_000, 31_000, 301_000)
    .map((ms): [string, Step] => [`wait ${ms}`, (c) => c.lab.clock.advance(ms)]),
  fc.tuple(pod, fc.boolean()).map(([i, on]): [string, Step] => [
    `pod ${i} isolated ${on}`,
    (c) => {
      c.port(i).isolated = on;
      c.lab.network.touch();
    },
  ]),
  pod.map((i): [string, Step] => [
    `pod ${i} forgets its neighbours`,
    (c) => (c.pods[i] as NetNamespace).device("eth0").neighbours?.flush(false),
  ]),
  fc.tuple(pod, fc.boolean()).map(([i, on]): [string, Step] => [
    `pod ${i} up ${on}`,
    (c) => {
      const eth0 = (c.pods[i] as NetNamespace).device("eth0");
      if (on) eth0.setUp();
      else eth0.setDown();
    },
  ]),
  fc
    .tuple(pod, fc.constantFrom(1300, 1500))
    .map(([i, mtu]): [string, Step] => [
      `pod ${i} mtu ${mtu}`,
      (c) => (c.pods[i] as NetNamespace).device("eth0").setMtu(mtu),
    ]),
  fc.nat(1).map((i): [string, Step] => [
    `node ${i} forgets the way to the other`,
    (c) => {
      const node = c.nodes[i] as NetNamespace;
      const spec = routeSpec(
        node,
        `10.244.${2 - i}.0/24 via 10.244.${2 - i}.0 dev flannel.1 onlink`,
      );
      if (node.fib4.routesTo(spec.dst).length > 0) node.deleteRoute(spec);
      else node.addRoute(spec);
    },
  ]),
  fc
    .tuple(fc.nat(1), fc.constantFrom("0", "1"))
    .map(([i, value]): [string, Step] => [
      `node ${i} forwards ${value}`,
      (c) => (c.nodes[i] as NetNamespace).sysctl.set("net/ipv4/ip_forward", value),
    ]),
  fc
    .nat(1)
    .map((i): [string, Step] => [
      `node ${i} loses what it knew of cni0`,
      (c) =>
        ((c.nodes[i] as NetNamespace).device("cni0") as Bridge).fdb.deleteAll((e) => !e.isStatic),
    ]),
  fc.nat(1).map((i): [string, Step] => [
    `node ${i} drops what goes to port 53, or no more`,
    (c) => {
      const iptables = (c.nodes[i] as NetNamespace).iptables(4);
      const rule = "-p udp -m udp --dport 53 -j DROP";
      if (iptables.check("filter", "FORWARD", rule)) iptables.delete("filter", "FORWARD", rule);
      else iptables.insert("filter", "FORWARD", rule);
    },
  ]),
  fc
    .nat(1)
    .map((i): [string, Step] => [
      `node ${i} forgets its connections`,
      (c) => (c.nodes[i] as NetNamespace).conntrack?.flush(),
    ]),
  fc.nat(1).map((i): [string, Step] => [
    `node ${i} flannel.1 down and up`,
    (c) => {
      const dev = (c.nodes[i] as NetNamespace).device("flannel.1");
      dev.setDown();
      dev.setUp();
    },
  ]),
  fc.tuple(pod, pod).map(([i, j]): [string, Step] => [
    `pod ${i} pings ${j}`,
    (c) => {
      const address = (c.pods[j] as NetNamespace).device("eth0").addressesOf(4)[0]?.address;
      if (address !== undefined) ping(c.pods[i] as NetNamespace, formatIp(address));
    },
  ]),
);

test("a cached flow is a walk: the same deliveries, counters, timers, whatever changes in between", () => {
  const steps = fc.array(
    fc.oneof({ weight: 3, arbitrary: send }, { weight: 1, arbitrary: change }),
    {
      minLength: 5,
      maxLength: 60,
      size: "max",
    },
  );
  fc.assert(
    fc.property(steps, (list) => {
      const cached = new Cluster(false);
      const walked = new Cluster(true);
      for (const [, step] of list) {
        step(cached);
        step(walked);
        expect(cached.heard).toEqual(walked.heard);
      }
      expect(cached.state).toEqual(walked.state);
    }),
    { numRuns: 200 },
  );
});

describe("the third packet of a flow", () => {
  /** Frames that devices received while a pod sent `times` datagrams to one on the other node. */
  const walks = (times: number, between: Step = () => {}) => {
    const c = new Cluster(false);
    c.send(0, 1, 2, 10);
    between(c);
    const { network } = c.lab;
    let received = 0;
    const { receive } = network;
    const enqueue = network.enqueue.bind(network);
    network.enqueue = (dev, skb) => {
      received++;
      enqueue(dev, skb);
    };
    network.receive = receive.bind(network);
    c.send(0, 1, times, 10);
    return { received, heard: c.heard.length };
  };

  test("needs no walk", () => {
    expect(walks(10)).toEqual({ received: 0, heard: 12 });
  });

  test.each<[string, number, Step]>([
    ["a route", 1, (c) => routes(c.nodes[0] as NetNamespace, "10.99.0.0/16 via 192.168.0.9")],
    [
      "a rule",
      1,
      (c) => (c.nodes[1] as NetNamespace).iptables(4).append("filter", "INPUT", "-j ACCEPT"),
    ],
    [
      "a sysctl",
      1,
      (c) => (c.nodes[1] as NetNamespace).sysctl.set("net/ipv4/conf/all/rp_filter", "2"),
    ],
    ["an address", 1, (c) => up((c.pods[2] as NetNamespace).device("eth0"), "10.9.9.9/24")],
    // The first packet begins a connection anew.
    ["time, when neighbours and connections are over", 2, (c) => c.lab.clock.advance(31_000)],
  ])("is walked after a change: %s, %i times", (_, times, between) => {
    const once = walks(1, between);
    expect(once.received).toBeGreaterThan(0);
    expect(walks(10, between)).toEqual({ received: times * once.received, heard: 12 });
  });

  test("is walked when it is of another length, or goes elsewhere", () => {
    const c = new Cluster(false);
    c.send(0, 1, 3, 10);
    c.send(0, 1, 1, 20);
    c.send(0, 2, 1, 10);
    expect(c.heard.slice(3)).toEqual([
      "pod2-2 eth0 10.244.1.2:4000 20",
      "pod1-3 eth0 10.244.1.2:4000 10",
    ]);
  });
});

test("a receiver that is gone hears nothing more", () => {
  const c = new Cluster(false);
  c.send(0, 1, 5, 10);
  const pod2 = c.pods[1] as NetNamespace;
  pod2.sockets.closeAll("server");
  c.send(0, 1, 5, 10);
  expect(c.heard).toHaveLength(5);
});

test("a socket that a rule looks for counts from the datagram after it is opened, until it is closed", () => {
  const lab = new Lab();
  const [client, router, server] = lab.machine("client", "router", "server");
  const [clientEnd, left] = cable(client, "eth0", router, "left");
  const [right, serverEnd] = cable(router, "right", server, "eth0");
  up(clientEnd, "10.0.1.2/24");
  up(left, "10.0.1.1/24");
  up(right, "10.0.2.1/24");
  up(serverEnd, "10.0.2.2/24");
  routes(client, "0.0.0.0/0 via 10.0.1.1");
  forwarding(router);
  router.iptables(4).append("mangle", "PREROUTING", "-m socket --transparent -j DROP");
  let heard = 0;
  new UdpSocket(server, { localPort: 53, owner: "server", onReceive: () => heard++ });
  const socket = new UdpSocket(client, { localPort: 4000, owner: "client" });
  const address = parseIp("10.0.2.2");
  const send = () => {
    for (let i = 0; i < 5; i++) socket.sendTo(address, 53, new Data(10));
    return heard;
  };
  expect(send()).toBe(5);
  const own = { localAddress: address, localPort: 53, owner: "proxy", transparent: true };
  const proxy = new UdpSocket(router, own);
  expect(send()).toBe(5);
  proxy.close();
  expect(send()).toBe(10);
});
