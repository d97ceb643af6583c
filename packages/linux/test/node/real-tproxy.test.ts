// A transparent proxy on the kernel of this machine and in the model: the same marks, rules and sockets, seen the same.
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { formatEndpoint, parseIp } from "@cnilab/net";
import { afterEach, describe, expect, test } from "vitest";
import { type NetNamespace, TcpConnection, TcpListener } from "../../src/index.ts";
import { cable, forwarding, Lab, routes, rule, up } from "../lab.ts";

const PREFIX = `tproxy${process.pid}`;
const PROGRAM = `${import.meta.dirname}/tproxy-lab.py`;
const missing = whatIsMissing();

interface Setting {
  readonly name: string;
  readonly family?: 4 | 6;
  /** Rules of mangle PREROUTING. */
  readonly mangle: readonly string[];
  /** The rule for marked packets is there, and leads to a local route. */
  readonly routed?: boolean;
  readonly transparent?: boolean;
  readonly earlyDemux?: boolean;
  readonly listenMark?: number;
  readonly expected: readonly string[];
}

const TO_PROXY = "-i left -p tcp -j TPROXY --on-ip 127.0.0.1 --on-port 10000 --tproxy-mark 0x200";
const TO_PROXY6 = "-i left -p tcp -j TPROXY --on-ip ::1 --on-port 10000 --tproxy-mark 0x200";
const OF_SOCKETS = "-m socket --transparent -j MARK --set-mark 0x200";

const ROWS: Setting[] = [
  {
    name: "marks for both ways",
    mangle: [TO_PROXY, OF_SOCKETS],
    listenMark: 0xb00,
    expected: [
      "client connected",
      "client heard",
      "proxy is 10.0.2.2:80 to 10.0.1.2:4000 mark 0xb00",
      "proxy passed on",
      "server sees 10.0.1.2:4000",
    ],
  },
  {
    name: "of IPv6",
    family: 6,
    mangle: [TO_PROXY6, OF_SOCKETS],
    expected: [
      "client connected",
      "client heard",
      "proxy is [fd00:2::2]:80 to [fd00:1::2]:4000 mark 0x0",
      "proxy passed on",
      "server sees [fd00:1::2]:4000",
    ],
  },
  {
    name: "an answer that only early demultiplexing finds is dropped",
    mangle: [TO_PROXY],
    expected: [
      "client connected",
      "client heard nothing",
      "proxy failed: timeout",
      "proxy is 10.0.2.2:80 to 10.0.1.2:4000 mark 0x0",
    ],
  },
  {
    name: "a proxy that is not transparent gets nothing",
    mangle: [TO_PROXY],
    transparent: false,
    expected: ["client failed: timeout"],
  },
  {
    name: "without a local route nothing is delivered",
    mangle: [TO_PROXY, OF_SOCKETS],
    routed: false,
    expected: ["client failed: timeout"],
  },
  {
    name: "another port has no proxy",
    mangle: [TO_PROXY.replace("10000", "10001"), OF_SOCKETS],
    expected: ["client failed: timeout"],
  },
  {
    name: "no rule: the client reaches the server",
    mangle: [],
    expected: ["client connected", "client heard", "server sees 10.0.1.2:4000"],
  },
];

describe.skipIf(missing !== "")(
  `as the kernel has it${missing && ` (missing: ${missing})`}`,
  () => {
    afterEach(() => {
      spawnSync("sh", ["-c", ["c", "r", "s"].map((n) => `ip netns del ${PREFIX}${n}`).join(";")]);
    });

    test.each(ROWS)("$name", async (row) => {
      expect(await measured(row)).toEqual(row.expected);
    });
  },
);

describe("in the model", () => {
  test.each(ROWS)("$name", (row) => {
    expect(modelled(row)).toEqual(row.expected);
  });
});

function ends(family: 4 | 6 = 4): { client: string; server: string; on: string } {
  return family === 4
    ? { client: "10.0.1.2", server: "10.0.2.2", on: "127.0.0.1" }
    : { client: "fd00:1::2", server: "fd00:2::2", on: "::1" };
}

async function measured(row: Setting): Promise<string[]> {
  const { family = 4, mangle, routed = true, transparent = true, listenMark = 0 } = row;
  const { client, server, on } = ends(family);
  const tables = family === 4 ? "iptables" : "ip6tables";
  shell(SET_UP);
  if (routed) {
    shell(`ip -n $r -${family} rule add fwmark 0x200/0xf00 lookup 2004 pref 9
ip -n $r -${family} route add local ${family === 4 ? "0.0.0.0/0" : "::/0"} dev lo table 2004`);
  }
  for (const each of mangle) {
    shell(`ip netns exec $r ${tables} -t mangle -A PREROUTING ${each}`);
  }
  const children: ChildProcess[] = [];
  const heard: string[] = [];
  const start = async (netns: string, name: string, options: object): Promise<ChildProcess> => {
    const args = ["netns", "exec", PREFIX + netns, "python3", PROGRAM, name];
    const child = spawn("ip", [...args, JSON.stringify({ family, ...options })], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const at = children.push(child) - 1;
    const ready = new Promise<void>((resolve) => {
      child.stdout.on("data", (data: Buffer) => {
        heard[at] = (heard[at] ?? "") + data;
        if (heard[at]?.startsWith("ready\n")) resolve();
      });
      child.once("exit", () => resolve());
    });
    if (name !== "client") await ready;
    return child;
  };
  await start("s", "server", { address: server, port: 80 });
  const upstreamMark = 0xb00;
  await start("r", "proxy", { on, onPort: 10000, transparent, listenMark, upstreamMark });
  const asking = { address: server, port: 80, from: client, fromPort: 4000 };
  await once(await start("c", "client", asking), "close");
  for (const child of children) child.kill();
  const lines = heard.flatMap((text) => text.split("\n"));
  return lines
    .filter((line) => line !== "" && line !== "ready")
    .map((line) => line.replace(/(Timeout|timeout)\w*$/, "timeout"))
    .sort();
}

function modelled(row: Setting): string[] {
  const { family = 4, mangle, routed = true, transparent = true, listenMark = 0 } = row;
  const { client, server, on } = ends(family);
  const lab = new Lab();
  const [c, r, s] = lab.machine("c", "r", "s");
  const [clientEnd, left] = cable(c, "eth0", r, "left");
  const [right, serverEnd] = cable(r, "right", s, "eth0");
  up(clientEnd, "10.0.1.2/24", "fd00:1::2/64");
  up(left, "10.0.1.1/24", "fd00:1::1/64");
  up(right, "10.0.2.1/24", "fd00:2::1/64");
  up(serverEnd, "10.0.2.2/24", "fd00:2::2/64");
  routes(c, "0.0.0.0/0 via 10.0.1.1", "::/0 via fd00:1::1");
  routes(s, "0.0.0.0/0 via 10.0.2.1", "::/0 via fd00:2::1");
  forwarding(r);
  if (routed) {
    rule(r, "priority 9 fwmark 0x200/0xf00 lookup 2004", family);
    routes(r, `local ${family === 4 ? "0.0.0.0/0" : "::/0"} dev lo table 2004`);
  }
  for (const each of mangle) r.iptables(family).append("mangle", "PREROUTING", each);
  const lines: string[] = [];
  new TcpListener(s, {
    port: 80,
    owner: "server",
    onAccept: (connection) => {
      lines.push(`server sees ${remote(connection)}`);
      connection.send(5);
    },
  });
  new TcpListener(r, {
    address: parseIp(on),
    port: 10000,
    owner: "proxy",
    transparent,
    mark: listenMark,
    onAccept: (connection) => serve(r, connection, lines),
  });
  const asked = TcpConnection.connect(c, {
    dst: parseIp(server),
    port: 80,
    src: parseIp(client),
    localPort: 4000,
    owner: "client",
    prepare: (connection) => {
      connection.onData = () => lines.push("client heard");
      connection.onEnd = () => {
        if (connection.received === 0) lines.push("client heard nothing");
      };
    },
  });
  if ("errno" in asked) throw new Error(asked.message);
  lines.push(
    asked.state === "ESTAB" || asked.received > 0 ? "client connected" : "client failed: timeout",
  );
  lab.clock.advance(600);
  return [...new Set(lines)].sort();
}

function serve(r: NetNamespace, connection: TcpConnection, lines: string[]): void {
  const own = formatEndpoint(connection.localAddress, connection.localPort);
  lines.push(`proxy is ${own} to ${remote(connection)} mark 0x${connection.mark.toString(16)}`);
  const upstream = TcpConnection.connect(r, {
    dst: connection.localAddress,
    port: connection.localPort,
    src: connection.remoteAddress,
    localPort: connection.remotePort,
    transparent: true,
    mark: 0xb00,
    owner: "proxy",
    prepare: (to) => {
      to.onData = (data) => {
        connection.send(data.length);
        lines.push("proxy passed on");
      };
    },
  });
  if ("errno" in upstream) throw new Error(upstream.message);
  r.network.clock.schedule(600, () => {
    if (upstream.state === "SYN-SENT") {
      lines.push("proxy failed: timeout");
      upstream.abandon();
      connection.close();
    }
  });
}

function remote({ remoteAddress, remotePort }: TcpConnection): string {
  return formatEndpoint(remoteAddress, remotePort);
}

function shell(script: string): void {
  const names = ["c", "r", "s"].map((n) => `${n}=${PREFIX}${n}`).join("\n");
  execFileSync("sh", ["-e", "-c", `${names}\n${script}`], {
    stdio: ["ignore", "ignore", "inherit"],
  });
}

const SET_UP = `
for n in $c $r $s; do ip netns add $n; ip -n $n link set lo up; done
for n in $c $r $s; do ip netns exec $n sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0; done
ip -n $c link add eth0 type veth peer name left netns $r
ip -n $s link add eth0 type veth peer name right netns $r
ip netns exec $r sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n $c addr add 10.0.1.2/24 dev eth0; ip -n $c addr add fd00:1::2/64 dev eth0 nodad
ip -n $s addr add 10.0.2.2/24 dev eth0; ip -n $s addr add fd00:2::2/64 dev eth0 nodad
ip -n $r addr add 10.0.1.1/24 dev left; ip -n $r addr add fd00:1::1/64 dev left nodad
ip -n $r addr add 10.0.2.1/24 dev right; ip -n $r addr add fd00:2::1/64 dev right nodad
ip -n $c link set eth0 up; ip -n $s link set eth0 up; ip -n $r link set left up; ip -n $r link set right up
ip -n $c route add default via 10.0.1.1; ip -n $c route add default via fd00:1::1
ip -n $s route add default via 10.0.2.1; ip -n $s route add default via fd00:2::1`;

function whatIsMissing(): string {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "root on Linux";
  for (const tool of ["ip", "iptables", "ip6tables", "python3"]) {
    if (spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0) return tool;
  }
  return "";
}
