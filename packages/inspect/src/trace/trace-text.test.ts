import { Dummy, exchange, HOOK_NAMES, NF_DROP, NFPROTO_IPV4, Trace } from "@cnilab/linux";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, it, test } from "vitest";
import { type TwoNodes, twoNodes } from "../../test/two-nodes.ts";
import { plainWalk } from "./plain-walk.ts";
import { ANSI_STYLE } from "./style.ts";
import { traceJson } from "./trace-json.ts";
import { type TraceTextOptions, traceText } from "./trace-text.ts";

interface Probe {
  readonly dst?: string;
  readonly port?: number;
  readonly protocol?: number;
  readonly length?: number;
  readonly waitMs?: number;
}

function traced(change: (nodes: TwoNodes) => void, probe: Probe = {}): Trace {
  const nodes = twoNodes();
  change(nodes);
  const trace = new Trace();
  const { dst = "10.244.2.2", port = 80, protocol = IPPROTO_TCP, ...rest } = probe;
  const [client] = nodes.pods;
  if (client !== undefined)
    exchange(client, { protocol, dst: parseIp(dst), port, srcPort: 40000, trace, ...rest });
  return trace;
}

const SERVICE_RULES = `*nat
:EMPTY - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]
-A PREROUTING -j EMPTY
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SEP-ABCDEFGHIJKLMNOP
-A KUBE-SEP-ABCDEFGHIJKLMNOP -p tcp -m tcp -j DNAT --to-destination 10.244.2.2:80
COMMIT
`;

/** 10.96.0.10:80 on the first node, with a pod of the second one behind it. */
function virtualServer({ kernels: [{ initNs }] }: TwoNodes): void {
  new Dummy(initNs, { name: "kube-ipvs0" }).addAddress(parseIp("10.96.0.10"), 32);
  initNs.ipvs.restore("-A -t 10.96.0.10:80 -s lc\n-a -t 10.96.0.10:80 -r 10.244.2.2:80 -m\n", {
    origin: { kind: "Service", namespace: "default", name: "web", detail: "port http" },
  });
}

const nothing = () => {};
const names = (ip: string): string | undefined =>
  ip === "10.244.2.2" ? "default/web-0" : undefined;

/** MACs are random. */
function text(trace: Trace, options?: TraceTextOptions): string {
  return traceText(trace, options).replaceAll(/\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b/g, "MAC");
}

test("a connection from pod to pod, there and back", () => {
  const written = text(traced(nothing)).replaceAll(/:\d+ > 192/g, ":PORT > 192");
  expect(
    written.split("<- #7")[0],
  ).toBe(`-> #0 TCP 10.244.1.2:40000 > 10.244.2.2:80 SYN, 44 bytes: delivered
  node1/pod2
    send        client sends SYN
    route       default via 10.244.1.1 dev eth0
                nothing closer holds 10.244.2.2, so the default route does; the next hop is 10.244.1.1
    neighbour   asks on eth0 who has 10.244.1.1 (ARP); the packet waits for the answer
    neighbour   10.244.1.1 is at MAC on eth0 (REACHABLE)
    out         eth0
  node1/host
    in          veth2
    bridge      the frame is for cni0's own MAC MAC, as the pod sent it to its gateway: the node's IP stack takes it
                guides call this a "bridge miss", as if the bridge had looked for 10.244.2.2 and not found it;
                in truth a bridge looks at MACs alone, and it found this one: its own
    in          cni0
    route       10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
                the longest prefix that holds 10.244.2.2 is 10.244.2.0/24; 10.244.2.0 counts as a neighbour on flannel.1 (onlink)
                from Node node2 (podCIDR)
    forward     passes it on from cni0 to flannel.1, TTL now 63
    neighbour   10.244.2.0 is at MAC on flannel.1 (PERMANENT)
    out         flannel.1
    wrap        flannel.1 puts it into VXLAN VNI 1: UDP 192.168.0.11:PORT > 192.168.0.12:8472
    route       192.168.0.0/16 dev eth0 proto kernel scope link src 192.168.0.11
                the longest prefix that holds 192.168.0.12 is 192.168.0.0/16
    neighbour   asks on eth0 who has 192.168.0.12 (ARP); the packet waits for the answer
    neighbour   192.168.0.12 is at MAC on eth0 (REACHABLE)
    out         eth0
  node2/host
    in          eth0
    route       192.168.0.12 is an address of this namespace itself (table local)
    unwrap      flannel.1 takes it out of VXLAN VNI 1 from 192.168.0.11
    in          flannel.1
    route       10.244.2.0/24 dev cni0 proto kernel scope link src 10.244.2.1
                the longest prefix that holds 10.244.2.2 is 10.244.2.0/24
    forward     passes it on from flannel.1 to cni0, TTL now 62
    neighbour   asks on cni0 who has 10.244.2.2 (ARP); the packet waits for the answer
    neighbour   10.244.2.2 is at MAC on cni0 (REACHABLE)
    out         cni0
    bridge      cni0 knows MAC behind veth2 and sends it there
    out         veth2
  node2/pod2
    in          eth0
    route       10.244.2.2 is an address of this namespace itself (table local)
    deliver     default/web-0/nginx receives SYN
`);
  expect(written).toContain(
    "<- #7 TCP 10.244.2.2:80 > 10.244.1.2:40000 SYN-ACK, 44 bytes: delivered",
  );
  expect(written).toContain("ACK, 40 bytes: delivered\n  takes the same way as #0\n");
  expect(written).toContain("takes the same way as #7\n");
  expect(written).toMatch(/cnilab explain knows: .*bridge miss.*VTEP/);
});

test("a summary has a line a hop", () => {
  const written = text(traced(nothing), { level: "summary" }).replaceAll(
    /:\d+ > 192/g,
    ":PORT > 192",
  );
  expect(
    written.split("<- #7")[0],
  ).toBe(`-> #0 TCP 10.244.1.2:40000 > 10.244.2.2:80 SYN, 44 bytes: delivered
  node1/pod2  send: client sends SYN; route: default via 10.244.1.1 dev eth0
  node1/host  route: 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink; wrap: flannel.1 puts it into VXLAN VNI 1: UDP 192.168.0.11:PORT > 192.168.0.12:8472; route: 192.168.0.0/16 dev eth0 proto kernel scope link src 192.168.0.11
  node2/host  unwrap: flannel.1 takes it out of VXLAN VNI 1 from 192.168.0.11; route: 10.244.2.0/24 dev cni0 proto kernel scope link src 10.244.2.1
  node2/pod2  deliver: default/web-0/nginx receives SYN
`);
});

test("a verbose trace has every frame, and ARP as packets of its own", () => {
  const written = text(traced(nothing), { level: "verbose" });
  expect(written).toContain(
    "-> #1 ARP 10.244.1.2 > 10.244.1.1 who has 10.244.1.1, 28 bytes: delivered\n",
  );
  expect(written).toContain(
    "out         eth0: MAC > MAC TCP 10.244.1.2:40000 > 10.244.2.2:80 SYN, 44 bytes, TTL 64\n",
  );
  expect(written).not.toContain("takes the same way");
});

test("addresses have names, and terminals colours", () => {
  const trace = traced(nothing);
  const named = text(trace, { nameOf: names });
  expect(named).toContain("> 10.244.2.2:80 (default/web-0) SYN");
  expect(named).toContain("\n  node2/default/web-0\n");
  expect(named).toContain("\n  node1/pod2\n");
  expect(traceText(trace, { style: ANSI_STYLE })).toContain("\u001b[1mnode1/pod2\u001b[0m");
  expect(traceText(trace)).not.toContain("\u001b");
});

test("an empty trace says so", () => {
  expect(traceText(new Trace())).toBe("Nothing was sent.\n");
});

describe("what goes wrong is named, with a hint", () => {
  it.each<{
    what: string;
    change: (nodes: TwoNodes) => void;
    probe?: Probe;
    lines: string[];
    reason?: string;
  }>([
    {
      what: "nobody listens",
      change: nothing,
      probe: { port: 81 },
      lines: ["NO_SOCKET", "hint: look at `show sockets`", "RST-ACK, 40 bytes: delivered"],
      reason: "NO_SOCKET",
    },
    {
      what: "no FDB entry",
      change: ({ kernels: [{ initNs }] }) => {
        const dev = initNs.device("flannel.1") as unknown as {
          deleteFdb(mac: number): void;
          fdbEntries(): Iterable<{ mac: number }>;
        };
        for (const { mac } of [...dev.fdbEntries()]) dev.deleteFdb(mac);
      },
      lines: [
        "DROP        VXLAN_NO_REMOTE at flannel.1: the FDB does not say to which node this MAC belongs",
      ],
      reason: "VXLAN_NO_REMOTE",
    },
    {
      what: "no route",
      change: ({ kernels: [{ initNs }] }) =>
        initNs.deleteRoute({ dst: parsePrefix("10.244.2.0/24") }),
      lines: ["no route holds 10.244.2.2", "DROP        IP_INNOROUTES"],
      reason: "IP_INNOROUTES",
    },
    {
      what: "forwarding is off",
      change: ({ kernels: [{ initNs }] }) => initNs.sysctl.set("net.ipv4.ip_forward", 0),
      lines: ["FORWARDING_DISABLED", "set net.ipv4.ip_forward=1"],
      reason: "FORWARDING_DISABLED",
    },
    {
      what: "a rule drops it",
      change: ({ kernels: [{ initNs }], network }) =>
        initNs.netfilter.register(NFPROTO_IPV4, 2, {
          name: "test",
          priority: 0,
          run: (skb, state) => {
            const origin = {
              kind: "NetworkPolicy",
              namespace: "default",
              name: "deny",
              detail: "ingress",
            };
            const rule = { location: "filter KUBE-NWPLCY", text: "-A KUBE-NWPLCY -j DROP", origin };
            const step = { netns: state.netns, packet: skb.number };
            skb.trace?.steps.push(
              { kind: "rule", ...step, rule, evaluated: 3, effect: "DROP" },
              {
                kind: "hook",
                ...step,
                family: NFPROTO_IPV4,
                hook: state.hook,
                table: "iptables filter",
                verdict: NF_DROP,
                evaluated: 7,
              },
            );
            network.drop(skb, state.netns, "NETFILTER_DROP", undefined, "", rule);
            return NF_DROP;
          },
        }),
      lines: [
        "rule        filter KUBE-NWPLCY: DROP\n                -A KUBE-NWPLCY -j DROP  (3 rules evaluated in the chain)\n                from NetworkPolicy default/deny (ingress)\n",
        `hook        ${HOOK_NAMES[2]}, iptables filter: DROP after 7 rules evaluated\n`,
        "DROP        NETFILTER_DROP: a netfilter rule dropped it\n                filter KUBE-NWPLCY: -A KUBE-NWPLCY -j DROP\n                from NetworkPolicy default/deny (ingress)\n                hint: ",
      ],
      reason: "NETFILTER_DROP",
    },
    {
      what: "a Service's rules translate it, and the answer is put back",
      change: ({ kernels: [{ initNs }] }) =>
        initNs.iptables(4).restore(SERVICE_RULES, {
          origin: { kind: "Service", namespace: "default", name: "web", detail: "port http" },
        }),
      probe: { dst: "10.96.0.10" },
      lines: [
        `    rule        nat PREROUTING: jump KUBE-SERVICES
                -A PREROUTING -j KUBE-SERVICES  (2 rules evaluated in the chain)
                from Service default/web (port http)
    rule        nat KUBE-SERVICES: jump KUBE-SEP-ABCDEFGHIJKLMNOP
                -A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SEP-ABCDEFGHIJKLMNOP  (1 rule evaluated in the chain)
                from Service default/web (port http)
    rule        nat KUBE-SEP-ABCDEFGHIJKLMNOP: DNAT --to-destination 10.244.2.2:80
                -A KUBE-SEP-ABCDEFGHIJKLMNOP -p tcp -m tcp -j DNAT --to-destination 10.244.2.2:80  (1 rule evaluated in the chain)
                from Service default/web (port http)
    hook        PREROUTING, iptables nat: ACCEPT after 4 rules evaluated
    DNAT        the destination changes: 10.96.0.10:80 -> 10.244.2.2:80
`,
        "un-DNAT     the answer gets back the source that the client knows: 10.244.2.2:80 -> 10.96.0.10:80\n",
      ],
    },
    {
      what: "a virtual server chooses, and its later packets and answers follow",
      change: virtualServer,
      probe: { dst: "10.96.0.10" },
      lines: [
        `    ipvs        lc chooses 10.244.2.2:80: the fewest connections: 0 active and 0 inactive connections
                -A -t 10.96.0.10:80 -s lc
                from Service default/web (port http)
`,
        "    ipvs        an answer of 10.244.2.2:80\n",
        "    ipvs        the connection goes on to 10.244.2.2:80\n",
      ],
    },
    {
      what: "a virtual server has nobody to choose",
      change: (nodes) => {
        virtualServer(nodes);
        nodes.kernels[0].initNs.ipvs.command("-e -t 10.96.0.10:80 -r 10.244.2.2:80 -m -w 0");
      },
      probe: { dst: "10.96.0.10" },
      lines: [
        "NETFILTER_DROP at cni0: a netfilter rule dropped it (no real server takes connections)",
      ],
      reason: "NETFILTER_DROP",
    },
    {
      what: "NAT and conntrack",
      change: ({ kernels: [{ initNs }] }) =>
        initNs.netfilter.register(NFPROTO_IPV4, 0, {
          name: "test",
          priority: 0,
          run: (skb, { netns }) => {
            const step = { netns, packet: skb.number };
            skb.trace?.steps.push(
              { kind: "conntrack", ...step, event: "new", entry: undefined, detail: "" },
              {
                kind: "nat",
                ...step,
                manip: "destination",
                from: "10.96.0.1:80",
                to: "10.244.2.2:80",
                reply: false,
              },
              {
                kind: "nat",
                ...step,
                manip: "source",
                from: "10.244.2.2:80",
                to: "10.96.0.1:80",
                reply: true,
              },
            );
            return 1;
          },
        }),
      lines: [
        "conntrack   the first packet of a connection\n",
        "DNAT        the destination changes: 10.96.0.1:80 -> 10.244.2.2:80\n",
        "un-DNAT     the answer gets back the source that the client knows: 10.244.2.2:80 -> 10.96.0.1:80\n",
      ],
    },
    {
      what: "the next hop does not answer",
      change: nothing,
      probe: { dst: "10.244.2.77", waitMs: 5000 },
      lines: ["asks on cni0 who has 10.244.2.77 (ARP)", "NEIGH_FAILED"],
      reason: "NEIGH_FAILED",
    },
    {
      what: "a large datagram in pieces",
      change: nothing,
      probe: { protocol: IPPROTO_UDP, port: 53, length: 3000 },
      lines: ["fragment    cut into 3 fragments that fit an MTU of 1450", "reassemble  "],
      reason: "NO_SOCKET",
    },
    {
      what: "ping",
      change: nothing,
      probe: { protocol: IPPROTO_ICMP },
      lines: [
        "-> #0 ICMP 10.244.1.2 > 10.244.2.2 echo request, 84 bytes: delivered",
        "echo reply, 84 bytes: delivered",
      ],
    },
  ])("$what", ({ change, probe, lines, reason }) => {
    const trace = traced(change, probe);
    const written = text(trace);
    for (const line of lines) expect(written).toContain(line);
    const drops = traceJson(trace).hops.flatMap((h) => h.steps.filter((s) => s.kind === "drop"));
    if (reason !== undefined) expect(drops).toContainEqual(expect.objectContaining({ reason }));
  });
});

test("a plain walk has a line a namespace, and no more than asked for", () => {
  const trace = traced(nothing);
  const lines = plainWalk(trace, 10);
  expect(lines.map((line) => line.split(": ")[0])).toEqual([
    "1 pod",
    "2 node1",
    "3 node2",
    "4 pod",
  ]);
  expect(lines[1]).toContain("wraps it: VXLAN VNI 1, 192.168.0.11 -> 192.168.0.12:8472");
  expect(plainWalk(trace, 2)).toEqual([lines[0], "…"]);
  expect(plainWalk(new Trace(), 5)).toEqual([]);
});

describe("traceJson", () => {
  const json = traceJson(traced(nothing));

  it("survives JSON", () => {
    expect(JSON.parse(JSON.stringify(json))).toEqual(json);
  });

  it("lists packets with direction and end", () => {
    expect(json.version).toBe(1);
    expect(json.packets[0]).toEqual({
      number: 0,
      direction: "there",
      end: "delivered",
      protocol: "TCP",
      src: "10.244.1.2",
      dst: "10.244.2.2",
      srcPort: 40000,
      dstPort: 80,
      length: 44,
      info: "SYN",
    });
    expect(json.packets[7]).toMatchObject({ direction: "back", info: "SYN-ACK" });
    expect(json.packets[1]).toMatchObject({ direction: "neighbour", protocol: "ARP" });
  });

  it("has the steps as data", () => {
    const steps = json.hops.flatMap((hop) => hop.steps);
    expect(steps).toContainEqual(
      expect.objectContaining({
        kind: "route",
        dst: "10.244.2.2",
        route: "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        prefix: "10.244.2.0/24",
        table: 254,
        via: "10.244.2.0",
        dev: "flannel.1",
        origin: { kind: "Node", name: "node2", detail: "podCIDR", text: "Node node2 (podCIDR)" },
      }),
    );
    expect(steps).toContainEqual(
      expect.objectContaining({
        kind: "encapsulate",
        protocol: "VXLAN VNI 1",
        src: "192.168.0.11",
        dst: "192.168.0.12",
        dstPort: 8472,
      }),
    );
    expect(json.hops[0]).toMatchObject({ packet: 0, node: "node1", netns: "pod2" });
  });

  it("says which virtual server chose whom and why", () => {
    const { hops } = traceJson(traced(virtualServer, { dst: "10.96.0.10" }));
    expect(hops.flatMap((hop) => hop.steps).find((step) => step.kind === "ipvs")).toMatchObject({
      event: "new",
      rule: "-A -t 10.96.0.10:80 -s lc",
      origin: { kind: "Service", text: "Service default/web (port http)" },
      scheduler: "lc",
      server: "10.244.2.2:80",
      detail: "the fewest connections: 0 active and 0 inactive connections",
    });
  });
});
