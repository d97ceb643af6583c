import { formatIp, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { Balancer } from "../../test/balancer.ts";
import { connect, outcome, routes, serve } from "../../test/lab.ts";
import { TcpConnection, Trace, UdpSocket } from "../index.ts";
import type { NetNamespace } from "../net-namespace.ts";

// What is expected was asked of Linux 6.1.192 unless a test says otherwise.

const VIP = "10.96.0.10";
const VIP6 = "fd00:96::a";

/** Servers of one weight behind both virtual addresses, port 80 to 8080. */
function balancer(
  options: { count?: number; scheduler?: string; protocol?: string; more?: string } = {},
): Balancer {
  const { count = 3, scheduler = "rr", protocol = "-t", more = "" } = options;
  const b = new Balancer(count);
  const lines = [VIP, `[${VIP6}]`].flatMap((vip) => [
    `-A ${protocol} ${vip}:80 -s ${scheduler} ${more}`,
    ...Array.from({ length: count }, (_, i) => {
      const server = vip === VIP ? `10.1.${i + 1}.2` : `[fd00:1:${i + 1}::2]`;
      return `-a ${protocol} ${vip}:80 -r ${server}:8080 -m`;
    }),
  ]);
  b.lb.ipvs.restore(lines.join("\n"));
  return b;
}

const PROTOCOLS: [name: string, protocol: number, option: string][] = [
  ["TCP", IPPROTO_TCP, "-t"],
  ["UDP", IPPROTO_UDP, "-u"],
  ["SCTP", IPPROTO_SCTP, "--sctp-service"],
];

/** Lines of `ipvsadm -Lnc` without its head and its columns' padding. */
function connections(netns: NetNamespace): string[] {
  const [, , ...lines] = netns.ipvs.listConnections().trimEnd().split("\n");
  return lines.map((line) => line.replace(/ +/g, " "));
}

/** Active and inactive connections by server. */
function counts(b: Balancer, protocol: number = IPPROTO_TCP): string[] {
  const service = b.lb.ipvs.findService({ protocol, address: parseIp(VIP), port: 80 });
  const dests = [...(service?.destinations ?? [])].reverse();
  return dests.map((d) => `${d.activeConns}/${d.inactConns}`);
}

describe.each(PROTOCOLS)("%s", (_, protocol, option) => {
  test.each([VIP, VIP6])("to %s reaches the servers in turn, the one added last first", (vip) => {
    const b = balancer({ protocol: option }).serve(8080, protocol);
    const answers = Array.from({ length: 6 }, () => b.ask(vip, 80, { protocol }));
    expect(answers).toEqual([3, 2, 1, 3, 2, 1]);
  });

  test("a server sees the client's address, and the client's packet one hop older", () => {
    const b = balancer({ protocol: option }).serve(8080, protocol);
    const { report } = connect(b.client, VIP, 80, { protocol });
    expect(report?.seenAddress).toBe(parseIp("10.0.0.2"));
    if (protocol !== IPPROTO_SCTP) expect(report?.seenTtl).toBe(63);
  });

  test("a service without servers is refused", () => {
    const b = balancer({ count: 0, protocol: option });
    for (const vip of [VIP, VIP6]) {
      // SCTP does not end for an ICMP error (`sctp_v4_err_handle`).
      expect(outcome(connect(b.client, vip, 80, { protocol }))).toBe(
        `${protocol === IPPROTO_SCTP ? "timeout" : "refused, ECONNREFUSED"}, NETFILTER_DROP in lb`,
      );
    }
  });

  test("the machine's own programs reach the servers by the address that they ask", () => {
    const b = balancer({ protocol: option }).serve(8080, protocol);
    // From the virtual address itself answers would not come back: it is the servers' as well in real life.
    for (const [vip, src] of [
      [VIP, "10.0.0.1"],
      [VIP6, "fd00::1"],
    ] as const) {
      // An SCTP message that fits the loopback device is too long to be passed on in one piece, and the
      // machine cuts IPv6 packets behind IPVS only.
      const stalls = protocol === IPPROTO_SCTP && vip === VIP6;
      const { outcome: what } = connect(b.lb, vip, 80, { protocol, src });
      expect(what).toBe(stalls ? "stalled" : "connected");
    }
  });
});

test("a server on the machine itself gets its packets there", () => {
  const b = balancer({ count: 0 });
  b.lb.ipvs.command(`-a -t ${VIP}:80 -r 10.0.0.1:8080 -m`);
  serve(b.lb, 8080);
  const { report } = connect(b.client, VIP, 80);
  expect(report?.netns).toBe(b.lb);
  expect(report?.address).toBe(parseIp("10.0.0.1"));
});

test("a server that is routed to directly gets packets as they are", () => {
  const b = new Balancer(1);
  b.lb.ipvs.restore(`-A -u ${VIP}:80 -s rr\n-a -u ${VIP}:80 -r 10.1.1.2:80 -g`);
  const [server] = b.servers as [NetNamespace];
  server.loopback.addAddress(parseIp(VIP), 32);
  const asked: string[] = [];
  new UdpSocket(server, {
    localPort: 80,
    owner: "server",
    onReceive: ({ src, dst }) => asked.push(`${formatIp(src)} > ${formatIp(dst)}`),
  });
  connect(b.client, VIP, 80, { protocol: IPPROTO_UDP });
  expect(asked).toEqual([`10.0.0.2 > ${VIP}`]);
  expect(b.lb.ipvs.list()).toContain("-> 10.1.1.2:80                  Route   1      0          1");
});

test("a service by mark takes whatever has the mark", () => {
  const b = new Balancer(2).serve(80).serve(81);
  b.lb.ipvs.restore("-A -f 7 -s rr\n-a -f 7 -r 10.1.1.2 -m\n-a -f 7 -r 10.1.2.2 -m");
  b.lb.iptables(4).append("mangle", "PREROUTING", `-d ${VIP} -j MARK --set-mark 7`);
  expect([b.ask(VIP, 80), b.ask(VIP, 81), b.ask(VIP, 80)]).toEqual([2, 1, 2]);
});

test("a persistent service for all ports keeps a client's port", () => {
  const b = new Balancer(2).serve(80).serve(81);
  b.lb.ipvs.restore(`-A -t ${VIP}:0 -s rr -p 60
-a -t ${VIP}:0 -r 10.1.1.2:0 -m
-a -t ${VIP}:0 -r 10.1.2.2:0 -m`);
  expect([b.ask(VIP, 80), b.ask(VIP, 81), b.ask(VIP, 80)]).toEqual([2, 2, 2]);
});

test("UDP with -o: every datagram is a connection of its own", () => {
  const b = balancer({ protocol: "-u", more: "-o" }).serve(8080, IPPROTO_UDP);
  for (const server of [3, 2, 1, 3]) {
    const request = { protocol: IPPROTO_UDP, srcPort: 5000 };
    const before = b.lb.ipvs.stats.conns;
    b.ask(VIP, 80, request);
    expect(b.lb.ipvs.stats.conns).toBe(before + 1);
    expect(b.lb.ipvs.connections.size).toBe(0);
    expect(server).toBeGreaterThan(0);
  }
});

describe("states and timeouts of TCP", () => {
  function open(b: Balancer, localPort: number): TcpConnection {
    const options = { dst: parseIp(VIP), port: 80, localPort, owner: "client" };
    return TcpConnection.connect(b.client, options) as TcpConnection;
  }

  test("an open connection is active for 15 minutes, a closed one inactive for two", () => {
    const b = balancer().serve(8080);
    const connection = open(b, 42_001);
    expect(connections(b.lb)).toEqual([
      "TCP 15:00 ESTABLISHED 10.0.0.2:42001 10.96.0.10:80 10.1.3.2:8080",
    ]);
    expect(counts(b)).toEqual(["0/0", "0/0", "1/0"]);
    connection.close();
    expect(connections(b.lb)).toEqual([
      "TCP 02:00 TIME_WAIT 10.0.0.2:42001 10.96.0.10:80 10.1.3.2:8080",
    ]);
    expect(counts(b)).toEqual(["0/0", "0/0", "0/1"]);
    b.lab.clock.advance(120_000);
    expect([...connections(b.lb), ...counts(b)]).toEqual(["0/0", "0/0", "0/0"]);
  });

  test("without an answer it is SYN_RECV, active for a minute after the last try", () => {
    const b = new Balancer(1);
    b.lb.ipvs.restore(`-A -t ${VIP}:80 -s rr\n-a -t ${VIP}:80 -r 10.1.1.77:8080 -m`);
    open(b, 42_004);
    expect(connections(b.lb)).toEqual([
      "TCP 01:00 SYN_RECV 10.0.0.2:42004 10.96.0.10:80 10.1.1.77:8080",
    ]);
    expect(counts(b)).toEqual(["1/0"]);
  });

  test("a server that resets closes it for ten seconds", () => {
    const b = balancer({ count: 1 });
    expect(outcome(connect(b.client, VIP, 80, { srcPort: 42_002 }))).toMatch(/^refused/);
    expect(connections(b.lb)).toEqual([
      "TCP 00:10 CLOSE 10.0.0.2:42002 10.96.0.10:80 10.1.1.2:8080",
    ]);
  });

  test("packets put the end off, and setting timeouts changes what they put it off to", () => {
    const b = balancer().serve(8080);
    b.lb.ipvs.timeouts = { tcp: 10 };
    const connection = open(b, 42_003);
    for (let i = 0; i < 3; i++) {
      b.lab.clock.advance(9000);
      connection.send(10, undefined);
      expect(connections(b.lb)).toHaveLength(1);
    }
    b.lab.clock.advance(10_000);
    expect(connections(b.lb)).toEqual([]);
  });
});

describe("a client's port that is used again", () => {
  const again = (b: Balancer) => b.ask(VIP, 80, { srcPort: 42_020 });

  test("goes to the next server", () => {
    const b = balancer().serve(8080);
    expect([again(b), again(b)]).toEqual([3, 2]);
    expect(connections(b.lb)).toHaveLength(1);
  });

  test("goes to the old server where conn_reuse_mode is 0", () => {
    const b = balancer().serve(8080);
    b.lb.sysctl.set("net/ipv4/vs/conn_reuse_mode", 0);
    expect([again(b), again(b)]).toEqual([3, 3]);
  });

  test("goes to the next server also where netfilter knows the old connection, which is over", () => {
    const b = balancer().serve(8080);
    b.lb.sysctl.set("net/ipv4/vs/conntrack", 1);
    b.lb.requireConntrack(4);
    expect([again(b), again(b)]).toEqual([3, 2]);
    expect(b.lb.conntrack?.size).toBe(1);
  });
});

describe("persistence", () => {
  const templates = (b: Balancer) =>
    connections(b.lb)
      .filter((line) => line.includes(":0 "))
      .map((line) => line.replace("TCP ", "").replace(` ${VIP}:80`, ""));

  test("a client stays for the timeout after its last connection, and while it has one", () => {
    const b = balancer({ more: "-p 3" }).serve(8080);
    expect([1, 2, 3, 4].map(() => b.ask(VIP, 80))).toEqual([3, 3, 3, 3]);
    expect(templates(b)).toEqual(["00:03 ASSURED 10.0.0.2:0 10.1.3.2:8080"]);
    // Closed connections are there for two minutes; with them the template gets another minute each time.
    b.lab.clock.advance(4000);
    expect(templates(b)).toEqual(["00:59 ASSURED 10.0.0.2:0 10.1.3.2:8080"]);
    expect(b.ask(VIP, 80)).toBe(3);
    b.lab.clock.advance(100_000);
    expect(templates(b)).toEqual(["00:20 ASSURED 10.0.0.2:0 10.1.3.2:8080"]);
    b.lab.clock.advance(100_000);
    expect([templates(b), b.ask(VIP, 80)]).toEqual([[], 2]);
  });

  test("clients of a network share a server where the mask says so", () => {
    const b = balancer({ more: "-p 3" }).serve(8080);
    b.lb.ipvs.command(`-E -t ${VIP}:80 -s rr -p 3 -M 255.255.255.0`);
    for (const last of [3, 4, 5]) b.client.device("eth0").addAddress(parseIp(`10.0.0.${last}`), 24);
    const asked = [2, 3, 4, 5].map((last) => b.ask(VIP, 80, { src: `10.0.0.${last}` }));
    expect(asked).toEqual([3, 3, 3, 3]);
    expect(templates(b)).toEqual(["00:03 ASSURED 10.0.0.0:0 10.1.3.2:8080"]);
  });

  test("a server of weight 0 keeps its clients, unless expire_quiescent_template takes them away", () => {
    const b = balancer({ more: "-p 300" }).serve(8080);
    b.client.device("eth0").addAddress(parseIp("10.0.0.3"), 24);
    expect(b.ask(VIP, 80)).toBe(3);
    b.lb.ipvs.command(`-e -t ${VIP}:80 -r 10.1.3.2:8080 -m -w 0`);
    expect([b.ask(VIP, 80), b.ask(VIP, 80, { src: "10.0.0.3" })]).toEqual([3, 2]);
    b.lb.sysctl.set("net/ipv4/vs/expire_quiescent_template", 1);
    expect(b.ask(VIP, 80)).toBe(1);
    expect(connections(b.lb).filter((line) => line.includes(":0 "))).toEqual([
      "TCP 05:00 ASSURED 10.0.0.2:0 10.96.0.10:65535 10.1.3.2:65535",
      "TCP 05:00 ASSURED 10.0.0.3:0 10.96.0.10:80 10.1.2.2:8080",
      "TCP 05:00 ASSURED 10.0.0.2:0 10.96.0.10:80 10.1.1.2:8080",
    ]);
  });
});

describe("a server that is deleted", () => {
  const request = { protocol: IPPROTO_UDP, srcPort: 5000 };

  test("leaves its connections, whose packets are dropped; back again, it has them", () => {
    const b = balancer({ protocol: "-u" }).serve(8080, IPPROTO_UDP);
    expect(b.ask(VIP, 80, request)).toBe(3);
    b.lb.ipvs.command(`-d -u ${VIP}:80 -r 10.1.3.2:8080`);
    const { drops } = connect(b.client, VIP, 80, request);
    expect(drops.map((d) => d.detail)).toEqual([
      "an IPVS connection is over: its real server was deleted",
    ]);
    b.lb.ipvs.command(`-a -u ${VIP}:80 -r 10.1.3.2:8080 -m`);
    expect(b.ask(VIP, 80, request)).toBe(3);
    expect(counts(b, IPPROTO_UDP)).toContain("0/1");
  });

  test("takes its connections with it where expire_nodest_conn says so", () => {
    const b = balancer({ protocol: "-u" }).serve(8080, IPPROTO_UDP);
    b.lb.sysctl.set("net/ipv4/vs/expire_nodest_conn", 1);
    expect(b.ask(VIP, 80, request)).toBe(3);
    b.lb.ipvs.command(`-d -u ${VIP}:80 -r 10.1.3.2:8080`);
    b.lab.clock.advance(4);
    expect(connections(b.lb)).toEqual([]);
    // The next in turn: the one before the deleted one counts as chosen last.
    expect(b.ask(VIP, 80, request)).toBe(2);
  });

  test("loses a packet where netfilter knows the connection: that ends first", () => {
    const b = balancer({ protocol: "-u" }).serve(8080, IPPROTO_UDP);
    b.lb.sysctl.set("net/ipv4/vs/expire_nodest_conn", 1);
    b.lb.sysctl.set("net/ipv4/vs/conntrack", 1);
    b.lb.requireConntrack(4);
    expect(b.ask(VIP, 80, request)).toBe(3);
    b.lb.ipvs.command(`-d -u ${VIP}:80 -r 10.1.3.2:8080`);
    const { drops } = connect(b.client, VIP, 80, request);
    expect(drops.map((d) => d.detail)).toEqual([
      "an IPVS connection is over: its real server was deleted",
    ]);
    expect(b.lb.conntrack?.size).toBe(0);
    expect(b.ask(VIP, 80, request)).toBe(2);
  });

  test("is forgotten with its counters two minutes after its last connection", () => {
    const b = balancer({ count: 1, protocol: "-u" }).serve(8080, IPPROTO_UDP);
    b.ask(VIP, 80, request);
    const remake = () => {
      b.lb.ipvs.command(`-d -u ${VIP}:80 -r 10.1.1.2:8080`);
      return () => {
        b.lb.ipvs.command(`-a -u ${VIP}:80 -r 10.1.1.2:8080 -m`);
        return b.lb.ipvs.findService({ protocol: IPPROTO_UDP, address: parseIp(VIP), port: 80 })
          ?.destinations[0]?.stats.conns;
      };
    };
    expect(remake()()).toBe(1);
    const later = remake();
    // UDP connections live for five minutes.
    b.lab.clock.advance(300_000 + 240_000);
    expect(later()).toBe(0);
  });
});

describe("with connection tracking", () => {
  function tracked(): Balancer {
    const b = balancer().serve(8080);
    b.lb.sysctl.set("net/ipv4/vs/conntrack", 1);
    b.lb.iptables(4).append("nat", "POSTROUTING", "-d 10.1.0.0/16 -j MASQUERADE");
    return b;
  }
  const entries = (b: Balancer) =>
    [...(b.lb.conntrack?.entries() ?? [])].map(
      ({ original, reply }) => `${original.src} ${original.dst} ${reply.src} ${reply.dst}`,
    );
  const spell = (...ips: string[]) => ips.map((ip) => parseIp(ip)).join(" ");

  test("netfilter can masquerade: its connection knows the server as the one that answers", () => {
    const b = tracked();
    const { report } = connect(b.client, VIP, 80);
    expect(report?.seenAddress).toBe(parseIp("10.1.3.1"));
    expect(entries(b)).toEqual([spell("10.0.0.2", VIP, "10.1.3.2", "10.1.3.1")]);
  });

  test("netfilter's connection ends with IPVS's", () => {
    const b = tracked();
    connect(b.client, VIP, 80);
    expect(entries(b)).toHaveLength(1);
    b.lab.clock.advance(120_000);
    expect(entries(b)).toEqual([]);
  });

  test("without net.ipv4.vs.conntrack packets are not tracked, and not masqueraded", () => {
    const b = tracked();
    b.lb.sysctl.set("net/ipv4/vs/conntrack", 0);
    const { report } = connect(b.client, VIP, 80);
    expect(report?.seenAddress).toBe(parseIp("10.0.0.2"));
    expect(entries(b)).toEqual([]);
  });
});

describe("ICMP errors", () => {
  test.each([VIP, VIP6])("a server's refusal seems to come from %s", (vip) => {
    const b = balancer({ protocol: "-u" });
    const result = connect(b.client, vip, 80, { protocol: IPPROTO_UDP });
    expect(outcome(result)).toMatch(/^refused, ECONNREFUSED/);
    expect(result.error?.from).toBe(parseIp(vip));
  });

  test.each([VIP, VIP6])("a narrow link behind the balancer is told to the client of %s", (vip) => {
    const b = balancer({ count: 1 }).serve(8080);
    b.lb.device("veth1").setMtu(1400);
    expect(outcome(connect(b.client, vip, 80))).toMatch(/^connected|PKT_TOO_BIG in lb$/);
    expect(b.client.pathMtus.get(parseIp(vip))?.mtu).toBe(1400);
  });

  test("a narrow link before the client is told to the server, about its own answer", () => {
    const b = balancer({ count: 1 }).serve(8080);
    b.lb.device("eth0").setMtu(1400);
    const [server] = b.servers as [NetNamespace];
    expect(outcome(connect(b.client, VIP, 80))).toBe("connected");
    expect(server.pathMtus.get(parseIp("10.0.0.2"))?.mtu).toBe(1400);
  });
});

test("answers to a client whose packets came from elsewhere are not touched", () => {
  const b = balancer({ protocol: "-u" }).serve(8080, IPPROTO_UDP);
  // Asked directly, the server answers by its own address.
  const { report, outcome: what } = connect(b.client, "10.1.1.2", 8080, { protocol: IPPROTO_UDP });
  expect([what, report?.netns]).toEqual(["connected", b.servers[0]]);
});

test("hooks come with the first service of a family, and go with the last", () => {
  const b = new Balancer(0);
  const names = (family: 2 | 10) =>
    ([1, 2, 3] as const).map((hook) => b.lb.hooks?.at(family, hook)?.map((f) => f.name) ?? []);
  b.lb.ipvs.command(`-A -t ${VIP}:80`);
  expect(names(2)).toEqual([
    ["ip_vs_out", "ip_vs_in"],
    ["ip_vs_forward_icmp", "ip_vs_out"],
    ["ip_vs_out", "ip_vs_in"],
  ]);
  expect(names(10)).toEqual([[], [], []]);
  b.lb.ipvs.command("-C");
  expect(names(2)).toEqual([[], [], []]);
});

test("rules of INPUT come before IPVS, those of OUTPUT behind it", () => {
  const b = balancer().serve(8080);
  const iptables = b.lb.iptables(4);
  iptables.append("filter", "INPUT", `-d ${VIP} -j DROP`);
  expect(b.ask(VIP, 80)).toBe("timeout");
  expect(b.lb.ipvs.connections.size).toBe(0);
  iptables.flush("filter");
  iptables.append("filter", "OUTPUT", "-d 10.1.3.2 -m ipvs --vaddr 10.96.0.10 --vport 80 -j DROP");
  expect([b.ask(VIP, 80), b.ask(VIP, 80)]).toEqual(["timeout", 2]);
});

test("a trace tells which server was chosen and why", () => {
  const b = balancer().serve(8080, IPPROTO_UDP).serve(8080);
  const [first, ...rest] = b.explain(VIP, 80);
  expect(first).toMatchObject({
    event: "new",
    service: { location: "ipvs", text: "-A -t 10.96.0.10:80 -s rr" },
    scheduler: "rr",
    server: "10.1.3.2:8080",
    detail: "the next in turn",
  });
  expect(new Set(rest.map((step) => step.event))).toEqual(new Set(["established", "reply"]));
});

test.each([
  ["wrr", "the next in turn whose weight is at least 1: 1"],
  ["lc", "the fewest connections: 0 active and 0 inactive connections"],
  ["wlc", "the fewest connections for its weight 1: 0 active and 0 inactive connections"],
  ["sed", "the shortest expected delay: (0 active + 1) / weight 1"],
  ["nq", "idle"],
  ["sh", "10.0.0.2 hashes to slot 137 of 256"],
  ["mh", "10.0.0.2 hashes to place 1884 of 4093"],
  ["dh", "10.96.0.10 hashes to slot 242 of 256"],
  ["fo", "the greatest weight: 1"],
  ["ovf", "the greatest weight that is not used up: 1, 0 active connections"],
])("%s says: %s", (scheduler, why) => {
  const b = balancer({ scheduler }).serve(8080);
  expect(b.explain(VIP, 80)[0]?.detail).toBe(why);
});

test("a refusal's trace names the service", () => {
  const b = balancer({ count: 0 });
  const trace = new Trace();
  connect(b.client, VIP, 80, { trace });
  const drop = trace.steps.find((step) => step.kind === "drop");
  expect(drop).toMatchObject({ rule: { text: "-A -t 10.96.0.10:80 -s rr" } });
});

test("datagrams of one flow that are repeated without walking count and refresh as walked ones", () => {
  const b = balancer({ protocol: "-u" });
  const heard: number[] = [];
  for (const server of b.servers) {
    new UdpSocket(server, {
      localPort: 8080,
      owner: "server",
      onReceive: ({ payload }) => heard.push(payload.length),
    });
  }
  const socket = new UdpSocket(b.client, { localPort: 5000, owner: "client" });
  const walk = { length: 100, clone: () => walk };
  for (let i = 0; i < 100; i++) {
    socket.sendTo(parseIp(VIP), 80, walk);
    b.lab.clock.advance(20_000);
  }
  expect(heard).toHaveLength(100);
  expect(connections(b.lb)).toEqual(["UDP 04:40 UDP 10.0.0.2:5000 10.96.0.10:80 10.1.3.2:8080"]);
  expect([b.lb.ipvs.stats.conns, b.lb.ipvs.stats.inPackets, b.lb.ipvs.stats.inBytes]).toEqual([
    1, 100, 12_800,
  ]);
  b.lb.ipvs.command(`-D -u ${VIP}:80`);
  socket.sendTo(parseIp(VIP), 80, walk);
  expect(heard).toHaveLength(100);
});

test("fragments reach their server as one packet, and its answer the client", () => {
  const b = balancer({ protocol: "-u" }).serve(8080, IPPROTO_UDP);
  routes(b.client, "10.2.0.0/16 via 10.0.0.1");
  for (const vip of [VIP, VIP6]) {
    expect(b.ask(vip, 80, { protocol: IPPROTO_UDP, length: 4000 })).toBe(3);
  }
});
