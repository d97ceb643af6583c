import { readFileSync } from "node:fs";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { Kernel } from "../../src/kernel.ts";
import type { Iptables } from "../../src/netfilter/iptables/iptables.ts";
import { IptablesError } from "../../src/netfilter/iptables/iptables-error.ts";
import { Network } from "../../src/network.ts";

/**
 * What iptables 1.8.9 (nf_tables) on Linux 6.18 made of each rule: loaded with iptables-restore -n as the
 * third line of a table, printed by iptables-save; or its words on standard error.
 */
interface Recorded {
  readonly family: 4 | 6;
  readonly table: string;
  readonly chain: string;
  readonly rule: string;
  readonly saved?: readonly string[];
  readonly error?: string;
}

const RECORDED: readonly Recorded[] = readFileSync(
  new URL("../fixtures/iptables/rules.ndjson", import.meta.url),
  "utf8",
)
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as Recorded);

function iptables(family: 4 | 6): Iptables {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const { initNs } = new Kernel(network, "node");
  initNs.ipsets.restore("create tset hash:ip,port\ncreate tset6 hash:ip family inet6\n");
  return initNs.iptables(family);
}

function text({ table, chain, rule }: Recorded): string {
  return `*${table}\n:UCHAIN - [0:0]\n-A ${chain} ${rule}\nCOMMIT\n`;
}

/** The tool's error without its hint at the manual. */
function firstWords(error: string): string {
  return (error.split("\nTry `", 1)[0] as string).trimEnd();
}

const UNMODELLED =
  /-m (u32|time|string|quota|cpu|devgroup|realm|cgroup|ecn|cluster|bpf|rt|frag) |-j (CLASSIFY|AUDIT|SYNPROXY) |kb\/s|--return-nomatch|--update-|--packets-|--bytes-|--map-set/;
/** Rules that the model takes, or words, differently on purpose. */
const OTHERWISE = /--suppl-groups|-m ipvs|-j QUEUE|--dport 1 -m tcp --dport 2/;
const known = RECORDED.filter(({ rule }) => !UNMODELLED.test(rule) && !OTHERWISE.test(rule));

describe("rules that iptables takes are printed as iptables-save prints them", () => {
  test.each(known.filter((r) => r.saved !== undefined))("$family $table $rule", (recorded) => {
    const tables = iptables(recorded.family);
    tables.restore(text(recorded), { noflush: true });
    const printed = tables.list(recorded.table, recorded.chain).slice(1);
    const prefix = `-A ${recorded.chain}`;
    const want = recorded.saved?.map((rule) => `${prefix} ${rule}`.trimEnd());
    expect(printed).toEqual(want);
  });
});

describe("what is printed can be read again, and prints the same", () => {
  test.each(known.filter((r) => r.saved !== undefined))("$family $table $rule", (recorded) => {
    const tables = iptables(recorded.family);
    tables.restore(text(recorded), { noflush: true });
    const saved = tables.save();
    const again = iptables(recorded.family);
    again.restore(saved);
    expect(again.save()).toBe(saved);
  });
});

describe("rules that iptables refuses are refused in its words", () => {
  test.each(known.filter((r) => r.error !== undefined))("$family $table $rule", (recorded) => {
    const tables = iptables(recorded.family);
    const load = () => tables.restore(text(recorded), { noflush: true });
    expect(load).toThrow(IptablesError);
    expect(load).toThrow(firstWords(recorded.error as string));
    expect(tables.hasChain(recorded.table, "UCHAIN")).toBe(false);
  });
});

describe("extensions that are not modelled are named", () => {
  test.each(RECORDED.filter(({ rule }) => UNMODELLED.test(rule)))("$rule", (recorded) => {
    const load = () => iptables(recorded.family).restore(text(recorded), { noflush: true });
    expect(load).toThrow(/not modelled/);
  });
});
