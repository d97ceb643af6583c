import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Iptables, Kernel, Network } from "../../src/index.ts";

const NETNS = `cnilab-iptables-${process.pid}`;

function run(command: string, args: readonly string[], input = ""): SpawnSyncReturns<string> {
  return spawnSync(command, args, { input, encoding: "utf8" });
}

/** Runs a tool of the machine in a network namespace of the test's own. */
function real(tool: string, args: readonly string[], input = ""): string {
  const result = run("ip", ["netns", "exec", NETNS, tool, ...args], input);
  if (result.status !== 0) throw new Error(`${tool}: ${result.stderr}`);
  return result.stdout;
}

const isRoot = process.getuid?.() === 0;
const version = isRoot ? run("iptables", ["--version"]).stdout : "";
const hasIpset = isRoot && run("ipset", ["--version"]).status === 0;
const unavailable = !/^iptables v1\.8\.9 \(nf_tables\)/.test(version ?? "") || !hasIpset;

function model(family: 4 | 6): Iptables {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const { initNs } = new Kernel(network, "node");
  initNs.ipsets.restore(SETS);
  return initNs.iptables(family);
}

const SETS = "create tset hash:ip,port\ncreate tset6 hash:ip family inet6\n";

/** Without comments and counts, which depend on the moment. */
function plain(save: string): string {
  return save
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/\[\d+:\d+\]$/, "[0:0]").trimEnd())
    .join("\n");
}

/** Loads a text into both, and compares what they print, or say against it. */
function compare(family: 4 | 6, text: string): void {
  const tool = family === 4 ? "iptables" : "ip6tables";
  const own = model(family);
  const loaded = run("ip", ["netns", "exec", NETNS, `${tool}-restore`], text);
  if (loaded.status !== 0) {
    // One transaction: the tool may tell of several rules that the kernel refuses, the model of the first.
    const [first, second] = loaded.stderr.split("\n") as [string, string];
    const line = /failed|line \d/.test(second) ? `${first}\n${second}` : first;
    expect(() => own.restore(text)).toThrow(line);
    return;
  }
  own.restore(text);
  for (const [, table] of text.matchAll(/^\*(\w+)$/gm)) {
    expect(own.save(table)).toBe(plain(real(`${tool}-save`, ["-t", table as string])));
  }
}

interface Recorded {
  readonly family: 4 | 6;
  readonly table: string;
  readonly chain: string;
  readonly rule: string;
  readonly saved?: readonly string[];
}

const fixture = readFileSync(new URL("../fixtures/iptables/rules.ndjson", import.meta.url), "utf8");
const recorded = fixture
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Recorded);

/** Recorded rules that the model has; `--dport 1 -m tcp --dport 2` it prints as it was given. */
function known(family: 4 | 6, table: string): Recorded[] {
  return recorded.filter((row) => {
    if (row.family !== family || row.table !== table || row.saved === undefined) return false;
    if (row.rule.includes("-m tcp --dport 2")) return false;
    const alone = model(family);
    try {
      alone.restore(`*${table}\n:UCHAIN - [0:0]\n-A ${row.chain} ${row.rule}\nCOMMIT\n`);
      return true;
    } catch (error) {
      if (/not modelled/.test(String(error))) return false;
      throw error;
    }
  });
}

describe.skipIf(unavailable)("against iptables 1.8.9 (needs root, iptables-nft and ipset)", () => {
  beforeAll(() => {
    run("ip", ["netns", "add", NETNS]);
    real("ipset", ["restore"], SETS);
  });
  afterAll(() => {
    run("ip", ["netns", "del", NETNS]);
  });

  test.each<[family: 4 | 6, table: string]>([
    [4, "filter"],
    [4, "nat"],
    [4, "mangle"],
    [4, "raw"],
    [6, "filter"],
    [6, "nat"],
    [6, "mangle"],
    [6, "raw"],
  ])("IPv%d %s: every recorded rule", (family, table) => {
    const lines = known(family, table).map(({ chain, rule }) => `-A ${chain} ${rule}`);
    expect(lines.length).toBeGreaterThan(0);
    compare(family, `*${table}\n:UCHAIN - [0:0]\n${lines.join("\n")}\nCOMMIT\n`);
  });

  const maybe = (text: fc.Arbitrary<string>) => fc.option(text, { nil: "", freq: 2 });
  const words = (...parts: fc.Arbitrary<string>[]) =>
    fc.tuple(...parts).map((all) => all.filter((part) => part !== "").join(" "));
  const negated = (option: string, value: fc.Arbitrary<string>) =>
    words(fc.constantFrom("", "", "!"), fc.constant(option), value);
  const octet = fc.nat(255);
  const address = fc
    .tuple(fc.tuple(octet, octet, octet, octet), fc.option(fc.nat(32)))
    .map(([bytes, length]) => `${bytes.join(".")}${length === null ? "" : `/${length}`}`);
  const mark = fc
    .tuple(fc.nat(0xffffffff), fc.option(fc.nat(0xffffffff)))
    .map(([value, mask]) =>
      mask === null ? String(value) : `0x${value.toString(16)}/0x${mask.toString(16)}`,
    );
  const port = fc.nat(65535).map(String);
  const list = (values: readonly string[]) =>
    fc.uniqueArray(fc.constantFrom(...values), { minLength: 1 }).map((some) => some.join());
  const comment = fc
    .stringMatching(/^[ -~]{0,40}$/)
    .map((text) => `-m comment --comment "${text.replace(/["\\]/g, "\\$&")}"`);
  const matches = fc
    .array(
      fc.oneof(
        comment,
        negated("-m mark --mark", mark).map((text) => text.replace(/^! -m mark/, "-m mark !")),
        list(["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "SNAT", "DNAT"]).map(
          (states) => `-m conntrack --ctstate ${states}`,
        ),
        fc
          .double({ min: 0, max: 1, noNaN: true })
          .map((p) => `-m statistic --mode random --probability ${p.toFixed(10)}`),
        list(["LOCAL", "UNICAST", "MULTICAST", "BROADCAST"]).map(
          (types) => `-m addrtype --dst-type ${types}`,
        ),
        fc
          .tuple(fc.integer({ min: 1, max: 500 }), fc.constantFrom("sec", "min", "hour", "day"))
          .map(([rate, unit]) => `-m limit --limit ${rate}/${unit}`),
        fc.nat(65535).map((n) => `-m length --length ${n}:65535`),
      ),
      { maxLength: 3 },
    )
    .map((all) => all.join(" "));
  const ports = fc.oneof(
    fc.constant("-p udp"),
    fc.constant("! -p tcp"),
    words(fc.constant("-p tcp"), negated("--sport", port), negated("--dport", port)),
    fc
      .array(port, { minLength: 1, maxLength: 15 })
      .map((all) => `-p tcp -m multiport --dports ${all.join()}`),
    words(
      fc.constant("-p tcp --tcp-flags"),
      list(["SYN", "ACK", "FIN", "RST"]),
      list(["SYN", "ACK"]),
    ),
  );
  const target = fc.oneof(
    fc.constantFrom("", "-j ACCEPT", "-j RETURN", "-j UCHAIN", "-g UCHAIN", "-j LOG --log-level 7"),
    mark.map((value) => `-j MARK --set-mark ${value}`),
    mark.map((value) => `-j MARK --set-xmark ${value}`),
    fc.nat(0xffffffff).map((value) => `-j MARK --and-mark ${value}`),
    mark.map((value) => `-j CONNMARK --set-mark ${value}`),
  );
  const rule = words(
    maybe(negated("-s", address)),
    maybe(negated("-d", address)),
    maybe(negated("-i", fc.constantFrom("eth0", "cali+"))),
    maybe(ports),
    matches,
    target,
  );

  test("IPv4 rules made at random", () => {
    fc.assert(
      fc.property(fc.array(rule, { minLength: 20, maxLength: 60 }), (rules) => {
        const lines = rules.map((text) => `-A FORWARD ${text}`);
        compare(4, `*mangle\n:UCHAIN - [0:0]\n${lines.join("\n")}\nCOMMIT\n`);
      }),
      { numRuns: 20, seed: 1 },
    );
  });
});
