// What eBPF maps and hooks do in the kernel of this machine and in the model: ask-bpf.py loads programs that it assembles itself.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { IPPROTO_ICMP, IPPROTO_TCP, type Prefix, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  type AnyBpfMap,
  attachTcx,
  BPF_EXIST,
  BPF_F_INGRESS,
  BPF_NOEXIST,
  BpfArray,
  BpfHash,
  BpfLpmTrie,
  BpfProgram,
  exchange,
  Kernel,
  KernelError,
  Network,
  type SockAddrContext,
  startEchoServer,
  TC_ACT_OK,
  TC_ACT_UNSPEC,
  type TcContext,
  TcpConnection,
  type UpdateFlag,
} from "../../src/index.ts";
import { cable, forwarding, Lab, routes, up } from "../lab.ts";

const SCRIPT = new URL("ask-bpf.py", import.meta.url).pathname;
/** Namespaces and control groups of this run alone. */
const PREFIX = `bpf${process.pid}`;
const missing = whatIsMissing();

function whatIsMissing(): string {
  if (process.getuid?.() !== 0) return "root";
  if (spawnSync("python3", ["-c", ""]).status !== 0) return "python3";
  if (spawnSync("ip", ["-V"]).status !== 0) return "ip";
  const asked = spawnSync("python3", [SCRIPT, '["maps"]'], { encoding: "utf8" });
  return asked.status === 0 ? "" : "bpf(2)";
}

/** tcx came with Linux 6.6. */
function whatIsMissingForTcx(): string {
  if (missing !== "") return missing;
  const asked = spawnSync("python3", [SCRIPT, JSON.stringify(["chain", `${PREFIX}x`, [0]])]);
  return asked.status === 0 ? "" : "tcx or the right to make namespaces";
}

const missingTcx = whatIsMissingForTcx();

const cgroup2 = readFileSync("/proc/mounts", "utf8")
  .split("\n")
  .map((line) => line.split(" "))
  .find(([, , type]) => type === "cgroup2")?.[1];

function ask(...question: unknown[]): unknown {
  return JSON.parse(
    execFileSync("python3", [SCRIPT, JSON.stringify(question)], { encoding: "utf8" }),
  );
}

const machine = () => new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "machine");

const encode = ({ address, length }: Prefix) => ({
  prefixLength: length,
  words: [address as number],
});

const skipped = (what: string) => (what === "" ? "" : ` (skipped: no ${what})`);

describe.skipIf(missing !== "")(`maps${skipped(missing)}`, () => {
  test("error numbers of updates and deletes", () => {
    const kernel = machine();
    const pack = (key: number) => key;
    const value = () => 0;
    const both: [string, AnyBpfMap, (n: number) => unknown][] = [
      ["hash", new BpfHash<number, number>(kernel, { name: "h", maxEntries: 2, pack }), (n) => n],
      [
        "lpm_trie",
        new BpfLpmTrie<Prefix, number>(kernel, { name: "t", maxEntries: 2, bits: 32, encode }),
        (n) => parsePrefix(`10.0.0.${n}/32`),
      ],
      ["array", new BpfArray(kernel, { name: "a", maxEntries: 2 }, value), (n) => n - 1],
    ];
    const model = both.map(([name, map, key]) => {
      const update = (n: number, flags?: UpdateFlag) => errno(() => map.update(key(n), 1, flags));
      return [
        name,
        [
          update(1),
          update(2),
          update(3),
          update(2),
          update(1, BPF_NOEXIST),
          update(9, BPF_EXIST),
          errno(() => map.delete(key(9))),
          update(1, 4 as UpdateFlag),
        ],
      ];
    });
    expect(Object.fromEntries(model)).toEqual(ask("maps"));
  });

  test("the longest prefix, and the length of what is looked for", () => {
    const prefixes = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.128.0/17", "10.1.2.3/32"];
    const asked = [
      "10.1.2.3/32",
      "10.1.2.4/32",
      "10.1.200.1/32",
      "10.1.2.3/12",
      "10.1.128.0/16",
      "11.0.0.0/4",
      "9.9.9.9/0",
    ];
    const map = new BpfLpmTrie<Prefix, string>(machine(), {
      name: "t",
      maxEntries: 9,
      bits: 32,
      encode,
    });
    for (const text of prefixes) map.update(parsePrefix(text), text);
    expect(asked.map((text) => map.get(parsePrefix(text)))).toEqual(ask("trie", prefixes, asked));
  });
});

function errno(call: () => void): string {
  try {
    call();
    return "ok";
  } catch (error) {
    if (error instanceof KernelError) return error.errno;
    throw error;
  }
}

/** As `Pods` of ask-bpf.py. */
function pods() {
  const [h, a, b] = new Lab().machine("h", "a", "b");
  const [podA, lxca] = cable(a, "eth0", h, "lxca");
  const [podB, lxcb] = cable(b, "eth0", h, "lxcb");
  up(podA, "10.0.0.1/32");
  up(podB, "10.0.0.2/32");
  forwarding(h);
  for (const [netns, dev, host] of [
    [a, podA, lxca],
    [b, podB, lxcb],
  ] as const) {
    routes(netns, "169.254.1.1 dev eth0 scope 253", "0.0.0.0/0 via 169.254.1.1 dev eth0");
    netns.neighboursOf(dev).replace(parseIp("169.254.1.1"), host.mac);
    up(host, "169.254.1.1/32");
  }
  routes(h, "10.0.0.1 dev lxca", "10.0.0.2 dev lxcb");
  const program = (run: (ctx: TcContext) => number) =>
    new BpfProgram(h.kernel, { type: "sched_cls", name: "p", run });
  const ping = () =>
    exchange(a, { protocol: IPPROTO_ICMP, dst: parseIp("10.0.0.2"), port: 0 }).outcome ===
    "connected";
  return { h, a, b, podA, podB, lxca, lxcb, program, ping };
}

describe.skipIf(missingTcx !== "")(`hooks${skipped(missingTcx)}`, () => {
  test.each(["egress", "peer", "neigh", "ingress"] as const)(
    "redirect (%s): where a packet is seen, with which mark, cb and TTL",
    (how) => {
      const { h, podA, podB, lxca, lxcb, program, ping } = pods();
      const [in0] = cable(h, "in0", h, "in1");
      const seen = new Map<string, [string, number, number, number, number]>();
      const places = [
        [lxcb, "egress"],
        [in0, "ingress"],
        [podB, "ingress"],
      ] as const;
      for (const [dev, direction] of places) {
        const watch = (ctx: TcContext) => {
          if (!ctx.isIp) return TC_ACT_UNSPEC;
          const place = `${dev.netns.name}/${dev.name} ${direction}`;
          const count = (seen.get(place)?.[1] ?? 0) + 1;
          seen.set(place, [place, count, ctx.mark, ctx.cb[0], ctx.ip.ttl]);
          return TC_ACT_UNSPEC;
        };
        attachTcx(dev, direction, program(watch));
      }
      for (const [from, out, mac] of [
        [lxca, lxcb, podB.mac],
        [lxcb, lxca, podA.mac],
      ] as const) {
        const steer = (ctx: TcContext) => {
          if (!ctx.isIp) return TC_ACT_OK;
          ctx.mark = 7;
          ctx.cb[0] = 5;
          if (how === "neigh") return ctx.redirectNeigh(out.ifindex);
          ctx.dstMac = how === "ingress" ? in0.mac : mac;
          if (how === "peer") return ctx.redirectPeer(out.ifindex);
          return how === "ingress"
            ? ctx.redirect(in0.ifindex, BPF_F_INGRESS)
            : ctx.redirect(out.ifindex);
        };
        attachTcx(from, "ingress", program(steer));
      }
      const connected = ping();
      const order = places.map(([dev, direction]) =>
        seen.get(`${dev.netns.name}/${dev.name} ${direction}`),
      );
      const model = { connected, seen: order.filter((entry) => entry !== undefined) };
      expect(model).toEqual(ask("redirect", PREFIX, how));
    },
  );

  test.each([[[-1, 0, 2]], [[2, 0]], [[4, 2]], [[-1, 2, 0]], [[-1, -1]], [[99, 2]]])(
    "programs of tcx that say %j",
    (verdicts) => {
      const { lxca, program, ping } = pods();
      const counts = verdicts.map(() => 0);
      for (const [i, verdict] of verdicts.entries()) {
        const run = (ctx: TcContext) => {
          if (!ctx.isIp) return TC_ACT_UNSPEC;
          counts[i] = (counts[i] ?? 0) + 1;
          return verdict;
        };
        attachTcx(lxca, "ingress", program(run));
      }
      expect({ connected: ping(), counts }).toEqual(ask("chain", PREFIX, verdicts));
    },
  );
});

const missingGroups = missing || (cgroup2 === undefined ? "cgroup2" : "");

test.skipIf(missingGroups !== "")(`connect4 of a control group${skipped(missingGroups)}`, () => {
  const group = `${cgroup2}/${PREFIX}`;
  mkdirSync(group);
  let real: string;
  try {
    const question = JSON.stringify(["connect4", group]);
    real = execFileSync("python3", [SCRIPT, question], { encoding: "utf8" });
  } finally {
    rmdirSync(group);
  }
  const [netns] = new Lab().machine("n");
  startEchoServer(netns, { protocol: IPPROTO_TCP, port: 8080, owner: "server" });
  const attach = (run: (ctx: SockAddrContext) => number) =>
    netns.kernel.bpf.cgroup.attach(
      "connect4",
      new BpfProgram(netns.kernel, { type: "cgroup_sock_addr", name: "p", run }),
    );
  const connect = (): string => {
    const dst = parseIp("10.96.0.1");
    const connection = TcpConnection.connect(netns, { dst, port: 80, owner: "client" });
    if (!(connection instanceof TcpConnection)) return connection.errno;
    const { address, port } = connection.peerName;
    connection.close();
    return `${address === parseIp("127.0.0.1") ? "127.0.0.1" : address}:${port === 8080 ? "SERVER" : port}`;
  };
  const there = attach((ctx) => {
    ctx.userIp = parseIp("127.0.0.1");
    ctx.userPort = 8080;
    return 1;
  });
  const rewritten = connect();
  there.detach();
  attach(() => 0);
  const model = [
    ["rewritten", rewritten],
    ["refused", connect()],
  ];
  expect(model.map((line) => JSON.stringify(line))).toEqual(
    real
      .trim()
      .split("\n")
      .map((line) => JSON.stringify(JSON.parse(line))),
  );
});
