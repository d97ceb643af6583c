import { existsSync, readdirSync, readFileSync } from "node:fs";
import { SeededRandom, VirtualClock } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { type Iptables, Kernel, Network } from "../../src/index.ts";

/** What real programs left in a real kernel; the READMEs there say how it was recorded. */
const VECTORS = new URL("../../../../../shared/vectors/", import.meta.url);
const missing = !existsSync(VECTORS);

/** Tables of a machine that has the sets which these lines name. */
function iptables(family: 4 | 6, lines: readonly string[] = []): Iptables {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "node");
  // kube-proxy's named counters
  initNs.nfacct.add("ct_state_invalid_dropped_pkts");
  initNs.nfacct.add("localhost_nps_accepted_pkts");
  for (const [, name] of lines.join("\n").matchAll(/--match-set (\S+)/g)) {
    initNs.ipsets.run(`create ${name} hash:net family ${family === 4 ? "inet" : "inet6"} -exist`);
  }
  return initNs.iptables(family);
}

/** A save as it was recorded: of some chain lines the counts are cut off. */
interface Save {
  readonly name: string;
  readonly family: 4 | 6;
  readonly lines: readonly string[];
}

function files(folder: string, fits: (name: string) => boolean): string[] {
  if (missing) return [];
  const names = readdirSync(new URL(`${folder}/`, VECTORS), { recursive: true }) as string[];
  return names.filter(fits).map((name) => `${folder}/${name}`);
}

function read(path: string): string {
  return readFileSync(new URL(path, VECTORS), "utf8");
}

function textSaves(): Save[] {
  return files("kube-proxy", (name) => /ip6?tables(-\d)?\.txt$/.test(name)).map((name) => ({
    name,
    family: name.includes("ip6") ? 6 : 4,
    lines: read(name).trim().split("\n"),
  }));
}

/** Saves that stand somewhere in a JSON document, as lists of lines. */
function savesIn(value: unknown, name: string): Save[] {
  if (typeof value !== "object" || value === null) return [];
  if (Array.isArray(value) && typeof value[0] === "string" && value[0].startsWith("*")) {
    return [{ name, family: name.endsWith("ip6tables") ? 6 : 4, lines: value as string[] }];
  }
  return Object.entries(value).flatMap(([key, part]) => savesIn(part, `${name} ${key}`));
}

function jsonSaves(folder: string): Save[] {
  const found = files(folder, (name) => name.endsWith("expected.json"));
  return found.flatMap((name) => savesIn(JSON.parse(read(name)), name));
}

const saves: readonly Save[] = [
  ...textSaves(),
  ...jsonSaves("flannel"),
  ...jsonSaves("cni-plugins"),
];

/** Lines by table, without comments and counts; tables stand in another order in some recordings. */
function byTable(lines: readonly string[]): Record<string, string[]> {
  const tables: Record<string, string[]> = {};
  let table: string[] = [];
  for (const line of lines) {
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("*")) {
      table = [];
      tables[line] = table;
    } else table.push(line.replace(/ \[\d+:\d+\]$/, ""));
  }
  return tables;
}

describe.skipIf(missing)("saves of real programs (needs ../shared)", () => {
  test.each(saves)("$name", ({ family, lines }) => {
    const tables = iptables(family, lines);
    tables.restore(`${lines.join("\n")}\n`);
    expect(byTable(tables.save().split("\n"))).toEqual(byTable(lines));
  });
});

interface DockerTables {
  readonly tables: readonly { readonly table: string; readonly rules: readonly string[] }[];
}

const docker = files("docker-iptables", (name) => name.startsWith("iptables-")).flatMap((name) =>
  (JSON.parse(read(name)) as DockerTables).tables.map(({ table, rules }) => ({
    name,
    table,
    rules,
  })),
);

describe.skipIf(missing)("rules that dockerd lists (needs ../shared)", () => {
  test.each(docker)("$name $table", ({ table, rules }) => {
    const tables = iptables(4);
    tables.restore(`*${table}\n${rules.join("\n")}\nCOMMIT\n`);
    expect(tables.list(table).toSorted()).toEqual(rules.toSorted());
  });
});

interface CalicoChain {
  readonly name: string;
  readonly rules: readonly string[];
}

/** Felix writes rules in its own words: they are read, and what is printed is read again as the same. */
const calico = files("calico", (name) => name === "static-chains.ndjson").flatMap((name) =>
  read(name)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((row) => row["backend"] === "iptables")
    .flatMap((row) =>
      ["filter", "mangle", "nat", "raw"].map((table) => ({
        name: `${row["config"]} IPv${row["ipVersion"]} ${table}`,
        family: row["ipVersion"] as 4 | 6,
        table,
        chains: (row[table] ?? []) as readonly CalicoChain[],
      })),
    ),
);

describe.skipIf(missing)("static chains of Felix (needs ../shared)", () => {
  test.each(calico)("$name", ({ family, table, chains }) => {
    const rules = chains.flatMap((chain) => chain.rules);
    const own = iptables(family, rules);
    const called = rules.map((rule) => /--(?:jump|goto) (cali\S+)/.exec(rule)?.[1] ?? "");
    const names = new Set([...chains.map((chain) => chain.name), ...called].filter(Boolean));
    const heads = [...names].map((name) => `:${name} - [0:0]`);
    own.restore(`*${table}\n${heads.join("\n")}\n${rules.join("\n")}\nCOMMIT\n`);
    const saved = own.save();
    expect(saved.split("\n").filter((line) => line.startsWith("-A"))).toHaveLength(rules.length);
    const again = iptables(family, rules);
    again.restore(saved);
    expect(again.save()).toBe(saved);
  });
});
