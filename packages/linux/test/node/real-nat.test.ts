// The same rules and packets through the kernel of this machine and through the model: both list the same connections.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { Data, formatIp, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type ConntrackEntry,
  IPS_ASSURED,
  IPS_SEEN_REPLY,
  type NetNamespace,
  TCP_STATES,
  TcpConnection,
  type Tuple,
  UdpSocket,
} from "../../src/index.ts";
import { cable, forwarding, Lab, routes, serve, up } from "../lab.ts";

/** Namespaces of this run alone. */
const PREFIX = `ctdiff${process.pid}`;
const missing = whatIsMissing();

const CLIENTS = ["10.0.1.2", "10.0.1.3"];
const SERVERS = [2, 3, 4, 5, 6, 7, 8, 9].map((host) => `10.0.2.${host}`);
const CLIENTS6 = ["fd00:1::2", "fd00:1::3"];
const SERVERS6 = [2, 3, 4, 5, 6, 7, 8, 9].map((host) => `fd00:2::${host}`);
/** Servers answer UDP on 53 and TCP on 80; nobody is on UDP port 54. */
const ECHO_PORT = 53;
const WEB_PORT = 80;

interface Flow {
  readonly protocol: "udp" | "tcp";
  readonly src: string;
  readonly srcPort: number;
  readonly dst: string;
  readonly dstPort: number;
}

interface Row {
  readonly name: string;
  readonly family: 4 | 6;
  /** Rules of the nat table. */
  readonly rules: readonly string[];
  readonly flows: readonly Flow[];
}

/** From each client to each server, on UDP port 53. */
const mesh = (family: 4 | 6): Flow[] =>
  (family === 4 ? CLIENTS : CLIENTS6).flatMap((src, i) =>
    (family === 4 ? SERVERS : SERVERS6).map((dst, j) => ({
      protocol: "udp" as const,
      src,
      srcPort: 4000 + 100 * i + j,
      dst,
      dstPort: ECHO_PORT,
    })),
  );
const udpFlow = (src: string, srcPort: number, dst: string, dstPort: number): Flow => ({
  protocol: "udp",
  src,
  srcPort,
  dst,
  dstPort,
});
const tcpFlow = (src: string, srcPort: number, dst: string, dstPort: number): Flow => ({
  protocol: "tcp",
  src,
  srcPort,
  dst,
  dstPort,
});

const ROWS: Row[] = [
  {
    name: "no rule",
    family: 4,
    rules: [],
    flows: [udpFlow("10.0.1.2", 4000, "10.0.2.2", 53), udpFlow("10.0.1.2", 4000, "10.0.2.2", 54)],
  },
  {
    name: "DNAT to address and port",
    family: 4,
    rules: [
      "-A PREROUTING -d 10.96.0.10 -p udp -j DNAT --to-destination 10.0.2.3:53",
      "-A PREROUTING -d 10.96.0.10 -p tcp -j DNAT --to-destination 10.0.2.3:80",
    ],
    flows: [
      udpFlow("10.0.1.2", 4000, "10.96.0.10", 5353),
      tcpFlow("10.0.1.2", 4001, "10.96.0.10", 8080),
    ],
  },
  {
    name: "DNAT into a range of addresses",
    family: 4,
    rules: ["-A PREROUTING -d 10.96.0.0/16 -j DNAT --to-destination 10.0.2.2-10.0.2.9"],
    flows: [1, 2, 3, 4, 5, 6].flatMap((service) =>
      CLIENTS.map((src) => udpFlow(src, 4000 + service, `10.96.0.${service}`, 53)),
    ),
  },
  {
    name: "SNAT into a range of addresses",
    family: 4,
    rules: ["-A POSTROUTING -d 10.0.2.0/24 -j SNAT --to-source 172.16.0.100-172.16.0.199"],
    flows: mesh(4),
  },
  {
    name: "persistent SNAT into a range of addresses",
    family: 4,
    rules: [
      "-A POSTROUTING -d 10.0.2.0/24 -j SNAT --to-source 172.16.0.100-172.16.3.199 --persistent",
    ],
    flows: mesh(4),
  },
  {
    name: "one source keeps its mapping",
    family: 4,
    rules: ["-A POSTROUTING -d 10.0.2.0/24 -j SNAT --to-source 172.16.0.100-172.16.0.199"],
    flows: SERVERS.map((dst) => udpFlow("10.0.1.2", 4000, dst, 53)),
  },
  {
    name: "masquerade",
    family: 4,
    rules: ["-A POSTROUTING -d 10.0.2.0/24 -j MASQUERADE"],
    flows: [udpFlow("10.0.1.2", 4000, "10.0.2.2", 53), tcpFlow("10.0.1.3", 4000, "10.0.2.2", 80)],
  },
  {
    name: "a port range of one",
    family: 4,
    rules: ["-A POSTROUTING -p udp -j SNAT --to-source 172.16.0.1:999"],
    flows: [udpFlow("10.0.1.2", 4000, "10.0.2.2", 53), udpFlow("10.0.1.2", 4000, "10.0.2.3", 53)],
  },
  {
    name: "redirect to a port where nobody listens",
    family: 4,
    rules: ["-A PREROUTING -p udp --dport 53 -j REDIRECT --to-ports 5353"],
    flows: [udpFlow("10.0.1.2", 4000, "10.0.2.2", 53)],
  },
  {
    name: "netmap both ways",
    family: 4,
    rules: [
      "-A PREROUTING -d 10.77.0.0/24 -j NETMAP --to 10.0.2.0/24",
      "-A POSTROUTING -s 10.0.1.0/24 -j NETMAP --to 172.16.9.0/24",
    ],
    flows: [udpFlow("10.0.1.2", 4000, "10.77.0.5", 53)],
  },
  {
    name: "IPv6 SNAT into a range of addresses",
    family: 6,
    rules: ["-A POSTROUTING -d fd00:2::/64 -j SNAT --to-source fd00:9::1:0-fd00:9::5:ffff"],
    flows: mesh(6),
  },
  {
    name: "IPv6 persistent SNAT into a range of addresses",
    family: 6,
    rules: [
      "-A POSTROUTING -d fd00:2::/64 -j SNAT --to-source fd00:9::1:0-fd00:9::5:ffff --persistent",
    ],
    flows: mesh(6),
  },
  {
    name: "IPv6 DNAT and masquerade",
    family: 6,
    rules: [
      "-A PREROUTING -d fd00:96::a -p tcp -j DNAT --to-destination [fd00:2::3]:80",
      "-A POSTROUTING -d fd00:2::/64 -j MASQUERADE",
    ],
    flows: [tcpFlow("fd00:1::2", 4000, "fd00:96::a", 8080)],
  },
];

describe.skipIf(missing !== "")(`the kernel of this machine${missing}`, () => {
  beforeAll(() => real(SET_UP), 60_000);
  afterAll(() => real(TEAR_DOWN));

  // A loaded machine may answer too late for the programs' patience: once more tells that apart.
  test.each(ROWS)("$name", { retry: 2 }, async ({ family, rules, flows }) => {
    const nat = ["*nat", ...rules, "COMMIT", ""].join("\n");
    expect(modelled(nat, family, flows)).toEqual(await measured(nat, family, flows));
  });
});

/** Why the kernel cannot be asked, for the name of the skipped tests. */
function whatIsMissing(): string {
  if (process.getuid?.() !== 0) return " (skipped: not root)";
  for (const tool of ["ip", "iptables-restore", "ip6tables-restore", "conntrack"]) {
    if (spawnSync("which", [tool]).status !== 0) return ` (skipped: no ${tool})`;
  }
  const probe = `ip netns add ${PREFIX} && ip netns del ${PREFIX}`;
  return spawnSync("sh", ["-c", probe]).status === 0 ? "" : " (skipped: no namespaces)";
}

function real(script: string): string {
  return execFileSync("bash", ["-euc", script], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
}

const SET_UP = `
c=${PREFIX}c r=${PREFIX}r s=${PREFIX}s
for n in $c $r $s; do ip netns add $n; ip -n $n link set lo up; done
ip -n $c link add eth0 type veth peer name left netns $r
ip -n $s link add eth0 type veth peer name right netns $r
for n in $c $r $s; do ip netns exec $n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0; done
ip netns exec $r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for a in ${CLIENTS.join(" ")}; do ip -n $c addr add $a/24 dev eth0; done
for a in ${CLIENTS6.join(" ")}; do ip -n $c addr add $a/64 dev eth0 nodad; done
for a in ${SERVERS.join(" ")}; do ip -n $s addr add $a/24 dev eth0; done
for a in ${SERVERS6.join(" ")}; do ip -n $s addr add $a/64 dev eth0 nodad; done
ip -n $r addr add 10.0.1.1/24 dev left; ip -n $r addr add fd00:1::1/64 dev left nodad
ip -n $r addr add 10.0.2.1/24 dev right; ip -n $r addr add fd00:2::1/64 dev right nodad
ip -n $c link set eth0 up; ip -n $s link set eth0 up; ip -n $r link set left up; ip -n $r link set right up
ip -n $c route add default via 10.0.1.1; ip -n $c route add default via fd00:1::1
ip -n $s route add default via 10.0.2.1; ip -n $s route add default via fd00:2::1`;

const TEAR_DOWN = `for n in c r s; do ip netns del ${PREFIX}$n || true; done`;

/** Answers until it is killed. */
const SERVER = `
const dgram = require("node:dgram"), net = require("node:net");
let waiting = 0;
const ready = () => { if (--waiting === 0) console.log("ready"); };
for (const a of ${JSON.stringify([...SERVERS, ...SERVERS6])}) {
  waiting += 2;
  const u = dgram.createSocket(a.includes(":") ? "udp6" : "udp4");
  u.on("message", (m, from) => u.send(m, from.port, from.address));
  u.bind(${ECHO_PORT}, a, ready);
  net.createServer((c) => c.on("error", () => {})).listen(${WEB_PORT}, a, ready);
}
`;

/** Sends each flow's first packets, one flow after the other. */
const CLIENT = (flows: readonly Flow[]): string => `
const dgram = require("node:dgram"), net = require("node:net");
const one = (f) => new Promise((done) => {
  if (f.protocol === "udp") {
    const u = dgram.createSocket(f.src.includes(":") ? "udp6" : "udp4");
    const end = () => { clearTimeout(late); u.close(); done(); };
    const late = setTimeout(end, 200);
    u.on("message", end).on("error", () => {});
    u.bind(f.srcPort, f.src, () => u.send("x", f.dstPort, f.dst));
  } else {
    const c = net.connect({ host: f.dst, port: f.dstPort, localAddress: f.src, localPort: f.srcPort });
    c.on("connect", () => done()).on("error", done);
  }
});
(async () => {
  for (const f of ${JSON.stringify(flows)}) await one(f);
  console.log("sent");
  setInterval(() => {}, 1000);
})();`;

/** Starts a program in a namespace and waits until it says something. */
function start(netns: string, program: string): Promise<ChildProcess> {
  const args = ["netns", "exec", netns, process.execPath, "-e", program];
  const child = spawn("ip", args, { stdio: ["pipe", "pipe", "inherit"] });
  return new Promise((resolve, reject) => {
    child.stdout.once("data", () => resolve(child));
    child.once("exit", (code) => reject(new Error(`a program in ${netns} ended with ${code}`)));
  });
}

/** What `conntrack -L` says while the flows are open. */
async function measured(nat: string, family: 4 | 6, flows: readonly Flow[]): Promise<string[]> {
  const router = `ip netns exec ${PREFIX}r`;
  const restore = family === 4 ? "iptables-restore" : "ip6tables-restore";
  // Tracking is on once a rule needs it.
  const filter = "*filter\n-A FORWARD -m conntrack --ctstate NEW\nCOMMIT\n";
  real(`${router} ${restore} <<'RULES'\n${nat}${filter}RULES\n${router} conntrack -F 2>&1`);
  const server = await start(`${PREFIX}s`, SERVER);
  const client = await start(`${PREFIX}c`, CLIENT(flows));
  const list = real(`${router} conntrack -L -f ipv${family} 2>/dev/null`);
  client.kill();
  server.kill();
  return list
    .split("\n")
    .filter((line) => /^(udp|tcp) /.test(line))
    .map(tuplesOf)
    .sort();
}

/** A line of `conntrack -L` without what changes from one moment to the next. */
function tuplesOf(line: string): string {
  const words = line.split(/ +/);
  const [protocol, , , state] = words;
  const told = words.filter((word) =>
    /^(src|dst|sport|dport)=|^\[(UNREPLIED|ASSURED)\]$/.test(word),
  );
  return [protocol, ...(protocol === "tcp" ? [state] : []), ...told].join(" ");
}

/** The same through the model. */
function modelled(nat: string, family: 4 | 6, flows: readonly Flow[]): string[] {
  const lab = new Lab();
  const [client, router, server] = lab.machine("client", "router", "server");
  const [clientEnd, left] = cable(client, "eth0", router, "left");
  const [right, serverEnd] = cable(router, "right", server, "eth0");
  up(clientEnd, ...CLIENTS.map((a) => `${a}/24`), ...CLIENTS6.map((a) => `${a}/64`));
  up(serverEnd, ...SERVERS.map((a) => `${a}/24`), ...SERVERS6.map((a) => `${a}/64`));
  up(left, "10.0.1.1/24", "fd00:1::1/64");
  up(right, "10.0.2.1/24", "fd00:2::1/64");
  routes(client, "0.0.0.0/0 via 10.0.1.1", "::/0 via fd00:1::1");
  routes(server, "0.0.0.0/0 via 10.0.2.1", "::/0 via fd00:2::1");
  forwarding(router);
  router.requireConntrack(family);
  router.iptables(family).restore(nat);
  serve(server, ECHO_PORT, IPPROTO_UDP);
  serve(server, WEB_PORT, IPPROTO_TCP);
  for (const flow of flows) send(client, flow);
  return [...router.requireConntrack(family).entries()].map(shown).sort();
}

function send(client: NetNamespace, { protocol, src, srcPort, dst, dstPort }: Flow): void {
  if (protocol === "tcp") {
    TcpConnection.connect(client, {
      dst: parseIp(dst),
      port: dstPort,
      src: parseIp(src),
      localPort: srcPort,
      owner: "client",
    });
    return;
  }
  const options = { localAddress: parseIp(src), localPort: srcPort, owner: "client" };
  const socket = new UdpSocket(client, options);
  socket.sendTo(parseIp(dst), dstPort, new Data(1));
  socket.close();
}

function shown(entry: ConntrackEntry): string {
  const { status } = entry;
  const tcp = entry.protocol === IPPROTO_TCP;
  return [
    tcp ? `tcp ${TCP_STATES[entry.state]}` : "udp",
    ends(entry.original),
    ...((status & IPS_SEEN_REPLY) === 0 ? ["[UNREPLIED]"] : []),
    ends(entry.reply),
    ...((status & IPS_ASSURED) !== 0 ? ["[ASSURED]"] : []),
  ].join(" ");
}

function ends({ src, dst, srcPort, dstPort }: Tuple): string {
  return `src=${formatIp(src)} dst=${formatIp(dst)} sport=${srcPort} dport=${dstPort}`;
}
