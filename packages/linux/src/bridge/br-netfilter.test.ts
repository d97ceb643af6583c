import { formatIp, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  cable,
  connect,
  forwarding,
  Lab,
  outcome,
  ping,
  routes,
  serve,
  up,
} from "../../test/lab.ts";
import { Vxlan } from "../device/vxlan.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  HOOK_NAMES,
  type HookNumber,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_FORWARD,
  NF_INET_PRE_ROUTING,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from "../netfilter/hooks.ts";
import { startEchoServer } from "../socket/echo-server.ts";
import { Bridge } from "./bridge.ts";

// kernel net/bridge/br_netfilter_hooks.c

/** Pods a and b on br0 of a node (10.244.0.1): 10.244.0.2 and 3, fd00::2 and 3. */
function bridged(module = true) {
  const lab = new Lab();
  const [node, a, b] = lab.machine("node", "a", "b");
  node.kernel.brNetfilter = module;
  const br0 = up(
    new Bridge(node, { name: "br0", mac: 0x0200000000bb }),
    "10.244.0.1/24",
    "fd00::1/64",
  );
  for (const [i, pod] of [a, b].entries()) {
    const [port, eth0] = cable(node, `veth${i}`, pod, "eth0");
    port.setMaster(br0);
    up(eth0, `10.244.0.${i + 2}/24`, `fd00::${i + 2}/64`);
    routes(pod, "0.0.0.0/0 via 10.244.0.1");
  }
  // Whoever is asked for is known, so that the hooks see nothing else.
  for (const pod of [a, b]) for (const to of ["10.244.0.1", "fd00::1"]) ping(pod, to);
  ping(a, "10.244.0.3");
  ping(a, "fd00::3");
  forwarding(node);
  return { lab, node, a, b, br0 };
}

/** Notes which IP hooks of a namespace see a packet, with their devices. */
function watch(netns: NetNamespace): string[] {
  const seen: string[] = [];
  for (const family of [NFPROTO_IPV4, NFPROTO_IPV6] as const) {
    for (const hook of [0, 1, 2, 3, 4] as HookNumber[]) {
      netns.netfilter.register(family, hook, {
        name: "watch",
        priority: 0,
        run: (_skb, state) => {
          seen.push(`${HOOK_NAMES[hook]} ${state.in?.name ?? "-"} ${state.out?.name ?? "-"}`);
          return NF_ACCEPT;
        },
      });
    }
  }
  return seen;
}

const BRIDGED = ["PREROUTING br0 -", "FORWARD br0 br0", "POSTROUTING - br0"];

// ip_rcv forgets `frag_max_size`, but the buffers of the fragments are still there for the fast path of ip_do_fragment.
test("fragments that were put together for the hooks leave the node as they came", () => {
  const { lab, node, a } = bridged();
  const [server] = lab.machine("server");
  const [near, far] = cable(node, "up0", server, "eth0");
  up(near, "192.0.2.1/24");
  up(far, "192.0.2.2/24");
  routes(server, "0.0.0.0/0 via 192.0.2.1");
  a.device("eth0").setMtu(1280);
  far.setMtu(1280);
  ping(a, "192.0.2.2");
  node.iptables(4).append("nat", "POSTROUTING", "-j MASQUERADE");
  startEchoServer(server, { protocol: IPPROTO_UDP, port: 53, owner: "server" });
  const result = connect(a, "192.0.2.2", 53, { protocol: IPPROTO_UDP, length: 3000 });
  expect(result.outcome).toBe("connected");
});

// br_nf_ip_fragment
test.each([
  [1500, "connected"],
  [1400, "timeout"],
])(
  "fragments of 1500 bytes are put together on a bridge with an MTU of %s: %s",
  (mtu, expected) => {
    const { node, a, b } = bridged();
    node.iptables(4).append("nat", "POSTROUTING", "-m physdev --physdev-is-in -j MASQUERADE");
    node.device("br0").setMtu(mtu);
    const dst = b.device("eth0").addresses4[0]?.address as number;
    startEchoServer(b, { protocol: IPPROTO_UDP, port: 53, owner: "server" });
    const result = connect(a, formatIp(dst), 53, { protocol: IPPROTO_UDP, length: 3000 });
    expect(result.outcome).toBe(expected);
  },
);

// ip6_fragment: the buffers have no room before them for a tunnel's headers, and nobody knows how large fragments were
test("fragments that were put together for the hooks are cut anew for a tunnel", () => {
  const { lab, node, a } = bridged();
  const [server] = lab.machine("server");
  const [near, far] = cable(node, "up0", server, "eth0");
  const link = { local: parseIp("192.0.2.1"), remote: parseIp("192.0.2.2") };
  up(near, "192.0.2.1/24");
  up(far, "192.0.2.2/24");
  up(new Vxlan(node, { name: "vx0", vni: 1, link: near, ...link }), "198.51.100.1/24");
  const back = { local: link.remote, remote: link.local };
  up(new Vxlan(server, { name: "vx0", vni: 1, link: far, ...back }), "198.51.100.2/24");
  a.device("eth0").setMtu(1280);
  node.iptables(4).append("nat", "POSTROUTING", "-j MASQUERADE");
  const lengths: number[] = [];
  server.netfilter.register(NFPROTO_IPV4, 0, {
    name: "lengths",
    priority: -500,
    run: (skb, state) => {
      if (state.in?.name === "vx0") lengths.push(skb.ip.length);
      return NF_ACCEPT;
    },
  });
  connect(a, "198.51.100.2", 53, { protocol: IPPROTO_UDP, length: 1400 });
  expect(lengths).toEqual([1428]);
});

// nf_checksum, ip_do_fragment: who sees the first buffer later need not sum what it cannot see
test.each([
  [true, "refused"],
  [false, "timeout"],
])(
  "fragments whose whole was summed for the hooks (%s) are rejected further on: %s",
  (tracked, expected) => {
    const { lab, node, a } = bridged();
    const [router] = lab.machine("router");
    const [near, far] = cable(node, "up0", router, "eth0");
    up(near, "192.0.2.1/24");
    up(far, "192.0.2.2/24");
    routes(node, "198.51.100.0/24 via 192.0.2.2");
    routes(router, "0.0.0.0/0 via 192.0.2.1", "198.51.100.0/24 via 192.0.2.1");
    forwarding(router);
    a.device("eth0").setMtu(1280);
    if (tracked)
      node.iptables(4).append("filter", "FORWARD", "-m conntrack --ctstate INVALID -j DROP");
    router.iptables(4).append("filter", "FORWARD", "-j REJECT");
    const result = connect(a, "198.51.100.2", 53, { protocol: IPPROTO_UDP, length: 3000 });
    expect(result.outcome).toBe(expected);
  },
);

describe("a bridged packet meets the IP hooks as if it were routed", () => {
  test.each([
    ["10.244.0.3", "net/bridge/bridge-nf-call-iptables", 1, true, [...BRIDGED, ...BRIDGED]],
    ["10.244.0.3", "net/bridge/bridge-nf-call-iptables", 0, true, []],
    ["10.244.0.3", "net/bridge/bridge-nf-call-ip6tables", 0, true, [...BRIDGED, ...BRIDGED]],
    ["10.244.0.3", "net/bridge/bridge-nf-call-iptables", 1, false, []],
    ["fd00::3", "net/bridge/bridge-nf-call-ip6tables", 1, true, [...BRIDGED, ...BRIDGED]],
    ["fd00::3", "net/bridge/bridge-nf-call-ip6tables", 0, true, []],
  ])("to %s with %s = %i, module %s", (to, sysctl, value, module, expected) => {
    const { node, a } = bridged(module);
    node.sysctl.set(sysctl, value);
    const seen = watch(node);
    expect(outcome(ping(a, to))).toBe("connected");
    expect(seen).toEqual(expected);
  });

  test("for the node itself PREROUTING is met once only", () => {
    const { node, a } = bridged();
    const seen = watch(node);
    ping(a, "10.244.0.1");
    expect(seen).toEqual(["PREROUTING br0 -", "INPUT br0 -", "OUTPUT - br0", "POSTROUTING - br0"]);
  });

  test("routed elsewhere too", () => {
    const { node, a } = bridged();
    const [up0] = cable(node, "up0", a, "unused");
    up(up0, "192.0.2.1/24");
    const seen = watch(node);
    ping(a, "192.0.2.9");
    expect(seen).toEqual(["PREROUTING br0 -", "FORWARD br0 up0", "POSTROUTING br0 up0"]);
  });
});

test.each([
  [4, "10.244.0.3"],
  [6, "fd00::3"],
] as const)("a bridged IPv%i connection can be reset", (family, to) => {
  const { node, a, b } = bridged();
  serve(b, 80);
  const reset = "-p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset";
  node.iptables(family).append("filter", "FORWARD", reset);
  const { outcome: what, error } = connect(a, to, 80);
  expect([what, error?.errno, error?.message]).toEqual(["refused", "ECONNREFUSED", "RST"]);
});

test("what FORWARD drops, does not reach the other pod on the bridge", () => {
  const { node, a, b } = bridged();
  serve(b, 80);
  node.netfilter.register(NFPROTO_IPV4, NF_INET_FORWARD, {
    name: "drop",
    priority: 0,
    run: (skb, state) => {
      node.network.drop(skb, node, "NETFILTER_DROP", state.in);
      return NF_DROP;
    },
  });
  expect(outcome(connect(a, "10.244.0.3", 80))).toBe("timeout, NETFILTER_DROP in node");
  node.sysctl.set("net/bridge/bridge-nf-call-iptables", "0");
  expect(outcome(connect(a, "10.244.0.3", 80))).toBe("connected");
});

// nf_send_reset sends straight to the port that the frame came by, and so NAT is not undone.
test.each([
  ["net/bridge/bridge-nf-call-iptables", 1, "10.96.0.1", "timeout"],
  ["net/bridge/bridge-nf-call-iptables", 0, "10.96.0.1", "refused"],
  ["net/bridge/bridge-nf-call-iptables", 1, "192.0.2.9", "refused"],
])("with %s %i, a reset for a connection to %s: %s", (sysctl, value, to, expected) => {
  const { a, node } = bridged();
  const [up0] = cable(node, "up0", a, "unused");
  up(up0, "192.0.2.1/24");
  node.sysctl.set(sysctl, value);
  const rules = node.iptables(4);
  rules.append("nat", "PREROUTING", "-d 10.96.0.1 -p tcp -j DNAT --to-destination 192.0.2.9");
  rules.append("filter", "FORWARD", "-p tcp -j REJECT --reject-with tcp-reset");
  expect(connect(a, to, 80).outcome).toBe(expected);
});

describe("a destination that changes in PREROUTING", () => {
  /** As a DNAT would: packets for 10.96.0.1 go to another address, and answers come from 10.96.0.1. */
  const translating = (to: string) => {
    const lab = bridged();
    const { node } = lab;
    const service = parseIp("10.96.0.1");
    const target = parseIp(to);
    for (const hook of [NF_INET_PRE_ROUTING, 4] as HookNumber[]) {
      node.netfilter.register(NFPROTO_IPV4, hook, {
        name: "translate",
        priority: -100,
        run: (skb) => {
          if (hook === NF_INET_PRE_ROUTING && skb.ip.dst === service) skb.ip.dst = target;
          if (hook !== NF_INET_PRE_ROUTING && skb.ip.src === target) skb.ip.src = service;
          return NF_ACCEPT;
        },
      });
    }
    return lab;
  };

  test("to a pod on the same bridge is bridged there, with another MAC", () => {
    const { a, b } = translating("10.244.0.3");
    serve(b, 80);
    const result = connect(a, "10.96.0.1", 80);
    expect(outcome(result)).toBe("connected");
    expect(result.report && formatIp(result.report.address)).toBe("10.244.0.3");
    expect(result.report && formatIp(result.report.seenAddress)).toBe("10.244.0.2");
  });

  test("to a pod whose MAC is not known yet waits for the answer", () => {
    const { a, b, node, br0 } = translating("10.244.0.3");
    node.neighboursOf(br0).flush(true);
    serve(b, 80);
    expect(outcome(connect(a, "10.96.0.1", 80))).toBe("connected");
  });

  test("to a pod that is the sender itself comes back by its own port, if that is a hairpin", () => {
    const { a, node } = translating("10.244.0.2");
    serve(a, 80);
    const port = node.device("veth0").bridgePort;
    expect(outcome(connect(a, "10.96.0.1", 80))).toMatch(/BRIDGE_SAME_PORT in node/);
    if (port !== undefined) port.hairpin = true;
    // The pod sees the Service's address as its client's, and so the answer takes the same way back.
    const result = connect(a, "10.96.0.1", 80);
    expect(outcome(result)).toBe("connected");
    expect(result.report && formatIp(result.report.seenAddress)).toBe("10.96.0.1");
  });

  test("to a machine elsewhere is routed", () => {
    const { a, node } = translating("192.0.2.9");
    const [up0] = cable(node, "up0", a, "unused");
    up(up0, "192.0.2.1/24");
    expect(
      connect(a, "10.96.0.1", 80).unresolved.map((u) => `${u.dev.name} ${formatIp(u.ip)}`),
    ).toEqual(["up0 192.0.2.9"]);
  });

  test("to where no route leads is lost", () => {
    const { a } = translating("203.0.113.1");
    expect(outcome(connect(a, "10.96.0.1", 80))).toBe("timeout, IP_INNOROUTES in node");
  });

  // The error route's device is no bridge, so the frame goes up, and ip_error has the last word.
  test("to a pod on the same bridge is lost where the node is no router", () => {
    const { a, b, node } = translating("10.244.0.3");
    node.sysctl.set("net/ipv4/ip_forward", "0");
    serve(b, 80);
    expect(outcome(connect(a, "10.96.0.1", 80))).toBe("timeout, FORWARDING_DISABLED in node");
  });
});
