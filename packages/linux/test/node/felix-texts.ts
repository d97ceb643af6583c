import { existsSync, readFileSync } from "node:fs";

/**
 * What Felix hands to `ipset restore`, `iptables-restore` and `nft -f -`, put together from the golden
 * chains in ../shared/vectors/calico: those hold the rules, and leave out their tables, hooks and sets.
 */
const VECTORS = new URL("../../../../../shared/vectors/calico/", import.meta.url);

export const vectorsMissing: boolean = !existsSync(VECTORS);

export interface FelixChain {
  readonly name: string;
  readonly rules: readonly string[];
}

export interface FelixCase {
  readonly name: string;
  readonly family: 4 | 6;
  /** By table: filter, mangle, nat, raw. */
  readonly iptables: Readonly<Record<string, readonly FelixChain[]>>;
  readonly nftables: Readonly<Record<string, readonly FelixChain[]>>;
  /** Members by the name that `ipset` knows the set by. */
  readonly sets: ReadonlyMap<string, FelixSet>;
  /** Local workloads' interfaces. */
  readonly workloads: readonly string[];
}

export interface FelixSet {
  readonly type: "NET" | "IP_AND_PORT";
  readonly members: readonly string[];
}

const TABLES = ["filter", "mangle", "nat", "raw"] as const;

/** Kernel chains that Felix hooks, and where in them (felix/dataplane/linux/int_dataplane.go). */
const HOOKS: Readonly<Record<string, readonly string[]>> = {
  filter: ["INPUT", "FORWARD", "OUTPUT"],
  mangle: ["PREROUTING", "POSTROUTING"],
  nat: ["PREROUTING", "OUTPUT", "POSTROUTING"],
  raw: ["PREROUTING", "OUTPUT"],
};

/** Type and priority of each base chain (felix/nftables/table.go), as knftables writes them. */
const BASE_CHAINS: readonly (readonly [name: string, spec: string])[] = [
  ["filter-INPUT", "type filter hook input priority 0"],
  ["filter-FORWARD", "type filter hook forward priority 0"],
  ["filter-OUTPUT", "type filter hook output priority 0"],
  ["nat-PREROUTING", "type nat hook prerouting priority -100"],
  ["nat-INPUT", "type nat hook input priority -100"],
  ["nat-OUTPUT", "type nat hook output priority 110"],
  ["nat-POSTROUTING", "type nat hook postrouting priority 110"],
  ["mangle-PREROUTING", "type filter hook prerouting priority -150"],
  ["mangle-INPUT", "type filter hook input priority -150"],
  ["mangle-FORWARD", "type filter hook forward priority -150"],
  ["mangle-OUTPUT", "type route hook output priority -150"],
  ["mangle-POSTROUTING", "type filter hook postrouting priority -150"],
  ["raw-PREROUTING", "type filter hook prerouting priority -300"],
  ["raw-OUTPUT", "type filter hook output priority -300"],
];

interface StaticRow {
  readonly backend: "iptables" | "nftables";
  readonly config: string;
  readonly ipVersion: 4 | 6;
  readonly filterForwardAppend: readonly FelixChain[];
  readonly [table: string]: unknown;
}

interface ScenarioRow {
  readonly name: string;
  readonly iptables: Readonly<Record<string, readonly FelixChain[]>>;
  readonly nftables: Readonly<Record<string, readonly FelixChain[]>>;
  readonly ipsets: Readonly<Record<string, FelixSet>>;
  readonly endpoints: Readonly<Record<string, { readonly name: string }>>;
}

function rows<T>(file: string): T[] {
  if (vectorsMissing) return [];
  const text = readFileSync(new URL(file, VECTORS), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as T);
}

/** The chains that are the same on every node, by configuration. */
export function staticCases(): FelixCase[] {
  return rows<StaticRow>("static-chains.ndjson").map((row) => {
    const tables = Object.fromEntries(
      TABLES.map((table) => [table, (row[table] ?? []) as readonly FelixChain[]]),
    );
    const filter = [...(tables["filter"] ?? []), ...row.filterForwardAppend];
    const all = { ...tables, filter };
    return {
      name: `${row.config} IPv${row.ipVersion} ${row.backend}`,
      family: row.ipVersion,
      iptables: row.backend === "iptables" ? all : {},
      nftables: row.backend === "nftables" ? all : {},
      sets: new Map(),
      workloads: [],
    };
  });
}

/** Chains of policies, profiles and endpoints, with their sets. */
export function scenarioCases(): FelixCase[] {
  return rows<ScenarioRow>("felix-scenarios.ndjson").map((row) => ({
    name: row.name,
    family: 4,
    iptables: row.iptables,
    nftables: row.nftables,
    sets: new Map(
      // libcalico-go's set names are cut to ipset's 31 characters.
      Object.entries(row.ipsets).map(([id, set]) => [`cali40${id}`.slice(0, 31), set]),
    ),
    workloads: Object.values(row.endpoints)
      .map(({ name }) => name)
      .filter((name) => name.startsWith("cali")),
  }));
}

/** `ipset restore`'s text: named sets, and without members those that the rules name besides. */
export function ipsetText(test: FelixCase): string {
  const family = test.family === 4 ? "inet" : "inet6";
  const named = JSON.stringify(test.iptables).matchAll(/--match-set (\S+)/g);
  const names = new Set([...test.sets.keys(), ...[...named].map(([, name]) => name as string)]);
  const lines = [...names].flatMap((name) => {
    const set = test.sets.get(name);
    const type = set?.type === "IP_AND_PORT" ? "hash:ip,port" : "hash:net";
    const members = (set?.members ?? []).filter(
      (member) => member.includes(":") === false || set?.type === "IP_AND_PORT",
    );
    return [
      `create ${name} ${type} family ${family} maxelem 1048576`,
      ...members.map((member) => `add ${name} ${member}`),
    ];
  });
  return lines.length === 0 ? "" : `${lines.join("\n")}\nCOMMIT\n`;
}

/** `iptables-restore --noflush`'s text: chains before rules, jumps from the kernel's chains first. */
export function iptablesText({ iptables }: FelixCase): string {
  const tables = TABLES.filter((table) => (iptables[table] ?? []).length > 0);
  return tables
    .map((table) => {
      const chains = iptables[table] as readonly FelixChain[];
      const own = chains.filter(({ name }) => name.startsWith("cali"));
      const appended = chains.filter(({ name }) => !name.startsWith("cali"));
      const rules = chains.flatMap((chain) => chain.rules);
      const called = rules.flatMap((rule) => /--(?:jump|goto) (cali\S+)/.exec(rule)?.[1] ?? []);
      const names = new Set([...own.map(({ name }) => name), ...called]);
      const hooks = (HOOKS[table] ?? []).filter((hook) => names.has(`cali-${hook}`));
      return [
        `*${table}`,
        ...[...names].map((name) => `:${name} - -`),
        ...hooks.map((hook) => `-I ${hook} 1 --jump cali-${hook}`),
        ...own.flatMap((chain) => chain.rules),
        ...appended.flatMap((chain) => chain.rules),
        "COMMIT\n",
      ].join("\n");
    })
    .join("");
}

/** `nft -f -`'s text, as knftables writes a transaction. */
export function nftText(test: FelixCase): string {
  const family = test.family === 4 ? "ip" : "ip6";
  const type = test.family === 4 ? "ipv4_addr" : "ipv6_addr";
  const table = `${family} calico`;
  const lines = [`add table ${table}`];
  const chains = TABLES.flatMap((layer) =>
    (test.nftables[layer] ?? []).map(({ name, rules }) => ({
      name: `${layer}-${name}`,
      rules: rules.map((rule) => inLayer(rule, layer)),
    })),
  );
  const rules = chains.flatMap((chain) => chain.rules);
  for (const [name, spec] of BASE_CHAINS) lines.push(`add chain ${table} ${name} { ${spec} ; }`);
  const called = rules.flatMap((rule) => /(?:jump|goto) (\S+)/.exec(rule)?.[1] ?? []);
  const own = chains.map(({ name }) => name).filter((name) => /-cali-/.test(name));
  for (const name of new Set([...own, ...called])) lines.push(`add chain ${table} ${name}`);
  const used = [...rules.join("\n").matchAll(/@(cali[\w-]+)/g)].map(([, name]) => name as string);
  const sets = new Map([...test.sets].map(([name, set]) => [name.replaceAll(":", "-"), set]));
  for (const name of new Set([...sets.keys(), ...used])) {
    const set = sets.get(name);
    const isPort = set?.type === "IP_AND_PORT";
    const what = isPort ? `${type} . inet_proto . inet_service` : type;
    lines.push(`add set ${table} ${name} { type ${what} ;${isPort ? "" : " flags interval ;"} }`);
    for (const member of set?.members ?? []) {
      const key = isPort ? member.replace(/,(\w+):/, " . $1 . ") : member;
      lines.push(`add element ${table} ${name} { ${key} }`);
    }
  }
  for (const [dir, chain] of [
    ["from", "fw"],
    ["to", "tw"],
  ] as const) {
    if (test.workloads.length === 0) continue;
    const map = `filter-cali-${dir}-wl-dispatch`;
    lines.push(`add map ${table} ${map} { type ifname : verdict ; }`);
    lines.push(`add chain ${table} ${map}`);
    const match = dir === "from" ? "iifname" : "oifname";
    lines.push(`add rule ${table} ${map} ${match} vmap @${map}`);
    lines.push(`add rule ${table} ${map} counter drop comment "Unknown interface"`);
    for (const name of test.workloads) {
      lines.push(`add element ${table} ${map} { "${name}" : goto filter-cali-${chain}-${name} }`);
    }
  }
  for (const { name, rules: own } of chains) {
    for (const rule of own) lines.push(`add rule ${table} ${name} ${rule}`);
  }
  for (const [layer, hooks] of Object.entries(HOOKS)) {
    for (const hook of hooks) {
      const name = `${layer}-cali-${hook}`;
      if (own.includes(name)) {
        lines.push(`insert rule ${table} ${layer}-${hook} counter jump ${name}`);
      }
    }
  }
  return `${lines.join("\n")}\n`;
}

/** A rule among the chains of its layer (felix/nftables/table_layer.go), its comment as nft takes it. */
function inLayer(rule: string, layer: string): string {
  const [body, comment] = rule.split(" ## ") as [string, string?];
  const jumps = body.replace(/(jump|goto) (\S+)/, `$1 ${layer}-$2`);
  return comment === undefined
    ? jumps
    : `${jumps} comment "${comment.replace(/[^\w @%+=:,./-]/g, "_")}"`;
}
