import type { NetNamespace, SharedSetElements } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { inTable, nftablesHashes, nftablesRule, nftablesSetName } from "../rules/nftables-text.ts";
import type { TableChain, TableRule } from "../rules/rule.ts";
import { type IpSetKind, memberChanges, sameMembers, type WantedIpSet } from "./ip-sets.ts";
import { TABLES, type TableName, type WantedTables } from "./tables.ts";

/** The one table of each family that is Felix's. */
export const NFTABLES_TABLE = "calico";

/**
 * Felix's base chains (`felix/nftables/table.go` baseChains). What is appended or inserted elsewhere stands in a chain of Felix's own
 * here, whose priority says when it runs: after kube-proxy's.
 */
const BASE_CHAINS: NftablesTable["baseChains"] = [
  ["filter-INPUT", "filter", "input", "0"],
  ["filter-FORWARD", "filter", "forward", "0"],
  ["filter-OUTPUT", "filter", "output", "0"],
  ["nat-PREROUTING", "nat", "prerouting", "-100"],
  ["nat-INPUT", "nat", "input", "-100"],
  ["nat-OUTPUT", "nat", "output", "110"],
  ["nat-POSTROUTING", "nat", "postrouting", "110"],
  ["mangle-PREROUTING", "filter", "prerouting", "-150"],
  ["mangle-INPUT", "filter", "input", "-150"],
  ["mangle-FORWARD", "filter", "forward", "-150"],
  ["mangle-OUTPUT", "route", "output", "-150"],
  ["mangle-POSTROUTING", "filter", "postrouting", "-150"],
  ["raw-PREROUTING", "filter", "prerouting", "-300"],
  ["raw-OUTPUT", "filter", "output", "-300"],
];

/** A table of nftables that is Felix's alone. */
export interface NftablesTable {
  readonly family: "ip" | "ip6" | "arp";
  readonly name: string;
  readonly baseChains: readonly (readonly [
    name: string,
    type: string,
    hook: string,
    priority: string,
  ])[];
}

/** Members from which on it pays to look whether another node has read them. */
const WORTH_SHARING = 8;

/** Elements that sets have, for all nodes of a cluster. */
export class SharedNftables {
  readonly #elements = new WeakMap<ReadonlySet<string>, SharedSetElements>();

  elements(members: ReadonlySet<string>): SharedSetElements | undefined {
    return this.#elements.get(members);
  }

  remember(members: ReadonlySet<string>, elements: SharedSetElements): void {
    this.#elements.set(members, elements);
  }
}

/** The one for policies. */
export function policyTable(family: IpFamily): NftablesTable {
  return { family: family === 4 ? "ip" : "ip6", name: NFTABLES_TABLE, baseChains: BASE_CHAINS };
}

/** Felix's table of one family of a node's nftables. Only what is different from the last time is programmed. */
export class NftablesDataplane {
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  readonly #table: NftablesTable;
  readonly #shared: SharedNftables | undefined;
  #sets: ReadonlyMap<string, WantedIpSet> = new Map();
  /** By the name within the table. */
  #chains = new Map<string, TableChain>();
  #maps = new Map<string, ReadonlyMap<string, string>>();
  /** Content of base chains as text. */
  #base = new Map<string, string>();

  /** @param shared of all nodes of a cluster */
  constructor(
    netns: NetNamespace,
    family: IpFamily,
    table: NftablesTable = policyTable(family),
    shared?: SharedNftables,
  ) {
    this.#netns = netns;
    this.#family = family;
    this.#table = table;
    this.#shared = shared;
  }

  apply(tables: WantedTables, sets: ReadonlyMap<string, WantedIpSet>): void {
    const { nftables } = this.#netns;
    if (!nftables.hasTable(this.#table.family, this.#table.name)) this.#forget();
    const changed = [...sets].filter(([name, wanted]) => {
      if (this.#shared === undefined || wanted.members.size < WORTH_SHARING) return false;
      const there = this.#sets.get(name);
      return there === undefined || !sameMembers(there, wanted);
    });
    // First with all members, as other nodes have them.
    const shared = new Map(sets);
    for (const [name, wanted] of changed) shared.set(name, { ...wanted, except: undefined });
    const known = new Map(
      changed.flatMap(([name, { members }]) => {
        const elements = this.#shared?.elements(members);
        return elements === undefined ? [] : [[name, elements] as const];
      }),
    );
    const text = this.changes(tables, shared, known);
    if (text !== "") nftables.apply(text, { origin: this.#originOf(tables) });
    const { family, name: table } = this.#table;
    for (const [name, { kind, members, except }] of changed) {
      const inNft = nftablesSetName(name);
      const there = known.get(name);
      if (there !== undefined) nftables.adoptSet(family, table, inNft, there);
      else this.#shared?.remember(members, nftables.shareSet(family, table, inNft));
      if (except === undefined) continue;
      nftables.apply(`delete element ${family} ${table} ${inNft} { ${elements([except], kind)} }`);
    }
    this.remember(tables, sets);
  }

  /** Takes all away, as Felix does with what it programmed before it was told to use iptables. */
  clear(): void {
    const { nftables } = this.#netns;
    if (nftables.hasTable(this.#table.family, this.#table.name)) {
      nftables.apply(`delete table ${this.#table.family} ${this.#table.name}`);
    }
    this.#forget();
  }

  /** The commands that make what is there what is wanted. @param known sets whose elements come from elsewhere */
  changes(
    tables: WantedTables,
    sets: ReadonlyMap<string, WantedIpSet>,
    known: ReadonlyMap<string, unknown> = new Map(),
  ): string {
    const chains = this.#wantedChains(tables);
    const maps = this.#wantedMaps(tables);
    const lines: string[] = [];
    const say = (line: string) => lines.push(line);
    const table = `${this.#table.family} ${this.#table.name}`;
    if (this.#base.size === 0) {
      say(`add table ${table}`);
      for (const [name, type, hook, priority] of this.#table.baseChains) {
        say(`add chain ${table} ${name} { type ${type} hook ${hook} priority ${priority}; }`);
      }
    }
    this.#setChanges(sets, table, known, say);
    for (const name of maps.keys()) {
      if (!this.#maps.has(name)) {
        say(`add map ${table} ${name} { type ifname : verdict; }`);
      }
    }
    for (const [name, targets] of this.#maps) {
      const gone = [...targets].filter(([key, to]) => maps.get(name)?.get(key) !== to);
      if (gone.length > 0) {
        say(`delete element ${table} ${name} { ${gone.map(([key]) => `"${key}"`).join(", ")} }`);
      }
    }
    const changed = [...chains].filter(([name, { chain }]) => this.#chains.get(name) !== chain);
    for (const [name] of changed) {
      say(`${this.#chains.has(name) ? "flush" : "add"} chain ${table} ${name}`);
    }
    for (const [name, { table: of, chain }] of changed) {
      const hashes = nftablesHashes(chain, this.#family, of);
      for (const [i, rule] of chain.rules.entries()) {
        say(addRule(table, name, rule, this.#family, of, hashes[i]));
      }
    }
    for (const [name, text] of this.#baseChainRules(tables, table)) {
      if (this.#base.get(name) === text) continue;
      if (this.#base.has(name)) say(`flush chain ${table} ${name}`);
      if (text !== "") say(text);
    }
    for (const [name, targets] of maps) {
      const added = [...targets].filter(([key, to]) => this.#maps.get(name)?.get(key) !== to);
      if (added.length > 0) {
        const elements = added.map(([key, to]) => `"${key}" : goto ${to}`);
        say(`add element ${table} ${name} { ${elements.join(", ")} }`);
      }
    }
    const gone = [...this.#chains.keys()].filter((name) => !chains.has(name));
    // They may lead to one another.
    for (const name of gone) say(`flush chain ${table} ${name}`);
    for (const name of gone) say(`delete chain ${table} ${name}`);
    for (const name of this.#maps.keys()) if (!maps.has(name)) say(`delete map ${table} ${name}`);
    for (const name of this.#sets.keys()) {
      if (!sets.has(name)) say(`delete set ${table} ${nftablesSetName(name)}`);
    }
    return lines.map((line) => `${line}\n`).join("");
  }

  #setChanges(
    sets: ReadonlyMap<string, WantedIpSet>,
    table: string,
    known: ReadonlyMap<string, unknown>,
    say: (line: string) => void,
  ): void {
    for (const [name, wanted] of sets) {
      const { kind } = wanted;
      const there = this.#sets.get(name);
      if (there !== undefined && sameMembers(there, wanted)) continue;
      const inNft = nftablesSetName(name);
      if (there === undefined) say(`add set ${table} ${inNft} { ${setType(kind, this.#family)} }`);
      if (known.has(name)) continue;
      const { added, removed } = memberChanges(there, wanted);
      if (removed.length > 0) {
        say(`delete element ${table} ${inNft} { ${elements(removed, kind)} }`);
      }
      if (added.length > 0) say(`add element ${table} ${inNft} { ${elements(added, kind)} }`);
    }
  }

  #wantedChains(
    tables: WantedTables,
  ): Map<string, { readonly table: TableName; readonly chain: TableChain }> {
    const chains = new Map<string, { table: TableName; chain: TableChain }>();
    for (const table of TABLES) {
      for (const chain of tables[table].chains.values()) {
        chains.set(inTable(table, chain.name), { table, chain });
      }
    }
    return chains;
  }

  #wantedMaps(tables: WantedTables): Map<string, ReadonlyMap<string, string>> {
    const maps = new Map<string, ReadonlyMap<string, string>>();
    for (const table of TABLES) {
      for (const [name, targets] of tables[table].maps) {
        const named = [...targets].map(([key, to]) => [key, inTable(table, to)] as const);
        maps.set(inTable(table, name), new Map(named));
      }
    }
    return maps;
  }

  /** Takes for programmed what {@link changes} said. */
  remember(tables: WantedTables, sets: ReadonlyMap<string, WantedIpSet>): void {
    this.#sets = sets;
    this.#chains = new Map(
      [...this.#wantedChains(tables)].map(([name, { chain }]) => [name, chain]),
    );
    this.#maps = this.#wantedMaps(tables);
    const table = `${this.#table.family} ${this.#table.name}`;
    this.#base = new Map(this.#baseChainRules(tables, table));
  }

  #baseChainRules(tables: WantedTables, table: string): [string, string][] {
    return this.#table.baseChains.map(([name]) => {
      const [of, hook] = name.split("-") as [TableName, string];
      const { inserted, appended } = tables[of];
      const lines = (rules: readonly TableRule[], suffix: string) => {
        const hashes = nftablesHashes({ name: hook + suffix, rules }, this.#family, of);
        return rules.map((rule, i) => addRule(table, name, rule, this.#family, of, hashes[i]));
      };
      const text = [
        ...lines(inserted.get(hook) ?? [], ""),
        ...lines(appended.get(hook) ?? [], "*appends*"),
      ];
      return [name, text.join("\n")];
    });
  }

  #forget(): void {
    this.#sets = new Map();
    this.#chains = new Map();
    this.#maps = new Map();
    this.#base = new Map();
  }

  /** Rules come chain by chain, each chain's in order and all of them. */
  #originOf(tables: WantedTables): (rule: string, chain: string) => TableRule["origin"] {
    const chains = this.#wantedChains(tables);
    const next = new Map<string, number>();
    return (_, chain) => {
      const place = next.get(chain) ?? 0;
      next.set(chain, place + 1);
      return chains.get(chain)?.chain.rules[place]?.origin;
    };
  }
}

function addRule(
  table: string,
  chain: string,
  rule: TableRule,
  family: IpFamily,
  of: TableName,
  hash: string | undefined,
): string {
  const { text, comment } = nftablesRule(rule, family, of, hash);
  const tail = comment === undefined ? "" : ` comment "${comment}"`;
  return `add rule ${table} ${chain} ${text}${tail}`;
}

function setType(kind: IpSetKind, family: IpFamily): string {
  const address = `ipv${family}_addr`;
  switch (kind) {
    case "hash:ip":
      return `type ${address};`;
    case "hash:net":
      return `type ${address}; flags interval;`;
    case "hash:ip,port":
      return `type ${address} . inet_proto . inet_service;`;
  }
}

function elements(members: readonly string[], kind: IpSetKind): string {
  if (kind !== "hash:ip,port") return members.join(", ");
  // `10.0.0.1,tcp:80`
  return members
    .map((member) => {
      const [address = "", port = ""] = member.split(",");
      return `${address} . ${port.replace(":", " . ")}`;
    })
    .join(", ");
}
