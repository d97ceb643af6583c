import {
  ChainLayer,
  type Ipset,
  type Iptables,
  LayerChain,
  type NetNamespace,
  type SharedElements,
} from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { iptablesHashes, iptablesRule } from "../rules/iptables-text.ts";
import type { TableChain } from "../rules/rule.ts";
import type { FelixConfig } from "./felix-config.ts";
import { createIpSet, ipSetChanges } from "./ip-set-commands.ts";
import { sameMembers, type WantedIpSet } from "./ip-sets.ts";
import { hashedRules } from "./restore-input.ts";
import { TABLES, type TableName, type WantedTables } from "./tables.ts";

/** Under which the node's chains are attached. */
const LAYER = "felix";

/** Felix's rules and sets in one family of a node's iptables. Only what is different from the last time is read and programmed. */
export class IptablesDataplane {
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  readonly #shared: SharedIptables;
  /** Sets that are there, whatever became of the rules. */
  readonly #sets = new Map<string, WantedIpSet>();
  /** What is to stand in built-in chains, by table and chain. */
  readonly #hooks = new Map<string, HookRules>();

  /** Whether its rules stand behind those of others in built-in chains (`ChainInsertMode`). */
  #append = false;

  /** @param shared of all nodes of a cluster */
  constructor(netns: NetNamespace, family: IpFamily, shared: SharedIptables) {
    this.#netns = netns;
    this.#family = family;
    this.#shared = shared;
  }

  apply(
    tables: WantedTables,
    sets: ReadonlyMap<string, WantedIpSet>,
    { chainInsertMode, maxIpsetSize }: Pick<FelixConfig, "chainInsertMode" | "maxIpsetSize">,
  ): void {
    this.#append = chainInsertMode === "append";
    // Sets must be there before the rules that name them, and until those are gone.
    this.#updateSets(sets, maxIpsetSize);
    const iptables = this.#netns.iptables(this.#family);
    iptables.setLayer(LAYER, this.#layer(tables));
    for (const table of TABLES) this.#hook(iptables, table, tables[table]);
    this.#deleteSets(sets);
  }

  /** Takes all away, as Felix does with what it programmed before it was told to use nftables. */
  clear(): void {
    const iptables = this.#netns.iptables(this.#family);
    for (const key of this.#hooks.keys()) this.#bring(iptables, key, NO_RULES);
    this.#hooks.clear();
    iptables.setLayer(LAYER, undefined);
    this.#deleteSets(new Map());
  }

  #updateSets(sets: ReadonlyMap<string, WantedIpSet>, maxIpsetSize: number): void {
    const { ipsets } = this.#netns;
    for (const [name, wanted] of sets) {
      const there = ipsets.find(name) === undefined ? undefined : this.#sets.get(name);
      if (there !== undefined && sameMembers(there, wanted)) continue;
      if (there === undefined) {
        ipsets.run(createIpSet(name, wanted, this.#family, maxIpsetSize));
        this.#sets.set(name, { kind: wanted.kind, members: NONE });
      }
      if (wanted.members.size <= maxIpsetSize) this.#shareMembers(name, there, wanted);
      else ipsets.restore(ipSetChanges(name, there, wanted).join("\n"), { exist: true });
      this.#sets.set(name, wanted);
    }
  }

  /** All members as other nodes have them, and then without the node's own. */
  #shareMembers(name: string, there: WantedIpSet | undefined, wanted: WantedIpSet): void {
    const { ipsets } = this.#netns;
    const set = ipsets.find(name) as Ipset;
    const { members, except } = wanted;
    const all = { ...wanted, except: undefined };
    const known = this.#shared.elements(members);
    if (known !== undefined) {
      set.adopt(known);
    } else {
      ipsets.restore(ipSetChanges(name, there, all).join("\n"), { exist: true });
      this.#shared.remember(members, set.share());
    }
    if (except === undefined) return;
    ipsets.restore(ipSetChanges(name, all, wanted).join("\n"), { exist: true });
  }

  #deleteSets(wanted: ReadonlyMap<string, WantedIpSet>): void {
    const { ipsets } = this.#netns;
    for (const name of [...this.#sets.keys()]) {
      if (wanted.has(name)) continue;
      if (ipsets.find(name) !== undefined) ipsets.run(`destroy ${name}`);
      this.#sets.delete(name);
    }
  }

  #layer(tables: WantedTables): ChainLayer {
    const chains: LayerChain[] = [];
    for (const table of TABLES) {
      for (const chain of tables[table].chains.values()) {
        chains.push(this.#shared.of(this.#family, table, chain));
      }
    }
    return ChainLayer.of(this.#family, chains);
  }

  /** Puts right what others have done to the rules in built-in chains since: kube-proxy puts its own before all that are there. */
  check(): void {
    const iptables = this.#netns.iptables(this.#family);
    for (const [key, hooks] of this.#hooks) this.#bring(iptables, key, hooks);
  }

  /** Rules in built-in chains. */
  #hook(
    iptables: Iptables,
    table: TableName,
    { inserted, appended }: WantedTables[TableName],
  ): void {
    const wanted = new Map<string, HookRules>();
    for (const chain of [...inserted.keys(), ...appended.keys()]) {
      wanted.set(`${table} ${chain}`, {
        inserted: hashedRules(chain, inserted.get(chain) ?? []),
        appended: hashedRules(chain, appended.get(chain) ?? [], "*appends*"),
      });
    }
    for (const key of this.#hooks.keys()) {
      if (key.startsWith(`${table} `) && !wanted.has(key)) wanted.set(key, NO_RULES);
    }
    for (const [key, hooks] of wanted) {
      this.#bring(iptables, key, hooks);
      this.#hooks.set(key, hooks);
    }
  }

  /** As Felix finds its rules by their hashes, and wants them where they belong (`felix/iptables/table.go` expectedHashesForInsertAppendChain). */
  #bring(iptables: Iptables, key: string, { inserted, appended }: HookRules): void {
    const [table = "", chain = ""] = key.split(" ");
    const there = iptables.list(table, chain).filter((line) => line.startsWith("-A "));
    const hashes = there.map(hashOf);
    const others = hashes.filter((hash) => hash === undefined);
    const ours = inserted.map(hashOf);
    const expected = this.#append ? [...others, ...ours] : [...ours, ...others];
    expected.push(...appended.map(hashOf));
    if (expected.length === hashes.length && expected.every((hash, i) => hash === hashes[i]))
      return;
    const lines = there
      .filter((line) => hashOf(line) !== undefined)
      .map((line) => `-D${line.slice(2)}`);
    // The last one inserted stands first.
    const ordered = this.#append ? inserted : inserted.toReversed();
    for (const rule of ordered) lines.push(`${this.#append ? "-A" : "-I"} ${chain} ${rule}`);
    for (const rule of appended) lines.push(`-A ${chain} ${rule}`);
    iptables.restore(`*${table}\n${lines.join("\n")}\nCOMMIT\n`, { noflush: true });
  }
}

/** Felix's rules in one built-in chain. */
interface HookRules {
  readonly inserted: readonly string[];
  readonly appended: readonly string[];
}

const NO_RULES: HookRules = { inserted: [], appended: [] };

/** By which Felix knows a rule as its own. */
function hashOf(rule: string): string | undefined {
  return /--comment "?cali:([a-zA-Z0-9_-]+)/.exec(rule)?.[1];
}

/** Chains that have been read and elements that sets have, for all nodes of a cluster. */
export class SharedIptables {
  readonly #read = new WeakMap<TableChain, Map<string, LayerChain>>();
  readonly #elements = new WeakMap<ReadonlySet<string>, SharedElements>();

  /** What a set with these members has in it, where some node has one. */
  elements(members: ReadonlySet<string>): SharedElements | undefined {
    return this.#elements.get(members);
  }

  remember(members: ReadonlySet<string>, elements: SharedElements): void {
    this.#elements.set(members, elements);
  }

  of(family: IpFamily, table: TableName, chain: TableChain): LayerChain {
    let variants = this.#read.get(chain);
    if (variants === undefined) {
      variants = new Map();
      this.#read.set(chain, variants);
    }
    const key = `${family} ${table}`;
    let read = variants.get(key);
    if (read === undefined) {
      const hashes = iptablesHashes(chain);
      const rules = chain.rules.map((rule, i) => ({
        text: iptablesRule(rule, hashes[i]),
        origin: rule.origin,
      }));
      read = LayerChain.read(family, table, chain.name, rules);
      variants.set(key, read);
    }
    return read;
  }
}

const NONE: ReadonlySet<string> = new Set();
