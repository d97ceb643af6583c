import type { NetNamespace } from "../../net-namespace.ts";
import {
  type HookNumber,
  NF_INET_FORWARD,
  NF_INET_LOCAL_IN,
  NF_INET_LOCAL_OUT,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  NFPROTO_ARP,
  NFPROTO_BRIDGE,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  type NfFamily,
} from "../hooks.ts";
import { registerNat, unregisterNat } from "../nat.ts";
import { BaseChainHook } from "./base-chain-hook.ts";
import type { TableFamily } from "./command.ts";
import type { DeviceNames, Json } from "./data-type.ts";
import { rulesetJson } from "./json.ts";
import { listTable } from "./list.ts";
import { NftSet } from "./nft-set.ts";
import { parseCommands } from "./parse-command.ts";
import type { BaseChain, Table } from "./table.ts";
import { type NftTableLayer, tableOf } from "./table-layer.ts";
import { type RuleOrigin, type Ruleset, Transaction, tableKey } from "./transaction.ts";

const HOOK_NUMBERS: Readonly<Record<string, HookNumber>> = {
  prerouting: NF_INET_PRE_ROUTING,
  input: NF_INET_LOCAL_IN,
  forward: NF_INET_FORWARD,
  output: NF_INET_LOCAL_OUT,
  postrouting: NF_INET_POST_ROUTING,
};

/** Families at whose hooks the chains of a table run. Those of `netdev` have no hook in the model. */
const HOOK_FAMILIES: Readonly<Record<TableFamily, readonly NfFamily[]>> = {
  ip: [NFPROTO_IPV4],
  ip6: [NFPROTO_IPV6],
  inet: [NFPROTO_IPV4, NFPROTO_IPV6],
  bridge: [NFPROTO_BRIDGE],
  arp: [NFPROTO_ARP],
  netdev: [],
};

/** What was in a set when it was shared; sets of other namespaces can have it as well. Immutable. */
export class SharedSetElements {
  /** @hidden */
  readonly set: NftSet;

  /** @hidden */
  constructor(set: NftSet) {
    this.set = set;
  }
}

/** A base chain that packets run through. */
interface Registration {
  readonly base: BaseChain;
  readonly hook: BaseChainHook;
}

/**
 * nf_tables of one network namespace, as nft 1.0.6 programs it and kernel 6.1 runs it. `destroy` and the
 * name `dstnat` at the output hook, which later releases brought, are taken as well.
 *
 * Not modelled, and refused as syntax: flowtables, meters, synproxy, tproxy, secmark, ct helpers, timeouts,
 * expectations, labels and counts, `dup` and `fwd`; the expressions rt, socket, osf, ipsec, exthdr, vlan,
 * TCP and IP options, SCTP chunks and raw payload; `define` and `include`; chains within rules. Taken,
 * listed, and never true: `meta skgid`, `ibrname`, `obrname` and checksums. Base chains of the family
 * netdev and of the ingress hook are kept and listed, and no packet meets them. `icmp id` is not listed
 * with the comparison of the type that nft adds.
 */
export class Nftables {
  readonly #netns: NetNamespace;
  readonly #ruleset: Ruleset = { tables: new Map<string, Table>(), lastTable: 0 };
  readonly #devices: DeviceNames;
  /** By table and chain. */
  readonly #registrations: Map<Table, Map<string, Registration>> = new Map();

  constructor(netns: NetNamespace) {
    this.#netns = netns;
    this.#devices = {
      index: (name) => netns.findDevice(name)?.ifindex,
      name: (index) => netns.devices.find((dev) => dev.ifindex === index)?.name,
    };
  }

  /**
   * `nft -f`: all commands of the text, or none.
   * @throws NftablesError with line and column of what is wrong
   */
  apply(text: string, options: { readonly origin?: RuleOrigin } = {}): void {
    const { network } = this.#netns;
    network.settleFlows();
    const commands = parseCommands(text);
    const { now } = network.clock;
    const transaction = new Transaction(this.#ruleset, this.#devices, now, options.origin);
    transaction.run(commands);
    for (const table of transaction.touched) this.#register(table);
    network.touch();
  }

  /**
   * Attaches a shared table, or puts another version of it in place of the one that is attached. What
   * this namespace has changed of its own by {@link apply} stays on top.
   * @throws RangeError where there is a table of that name that is no layer
   */
  setLayer(layer: NftTableLayer): void {
    const { tables } = this.#ruleset;
    const shared = tableOf(layer);
    const key = tableKey(shared.family, shared.name);
    let table = tables.get(key);
    if (table === undefined) {
      table = shared.fork(++this.#ruleset.lastTable);
      tables.set(key, table);
    } else if (!table.isLayered) throw new RangeError(`table ${key} is there and is no layer`);
    table.rebase(shared);
    this.#register(table);
    this.#netns.network.touch();
  }

  /** What is in a set now, for other namespaces. @throws RangeError for maps, and where packets or time change elements */
  shareSet(family: TableFamily, table: string, name: string): SharedSetElements {
    const found = this.#plainSet(family, table, name);
    // Whoever changes the elements from now on has a copy of them.
    const shared = new NftSet(found.options, undefined, found.elements);
    this.#ruleset.tables.get(tableKey(family, table))?.sets.set(name, shared);
    return new SharedSetElements(shared);
  }

  /**
   * Puts shared elements in place of those of a set, which has a copy of them as soon as somebody changes one.
   * @throws RangeError where they are another kind of set's
   */
  adoptSet(family: TableFamily, table: string, name: string, from: SharedSetElements): void {
    const { options } = this.#plainSet(family, table, name);
    const { set } = from;
    const sameKey =
      options.key.length === set.options.key.length &&
      options.key.every(({ type }, i) => type === set.options.key[i]?.type);
    if (!sameKey || options.interval !== set.options.interval) {
      throw new RangeError(`set ${name} takes no elements of set ${set.name}`);
    }
    const adopted = new NftSet(options, undefined, set.elements);
    this.#ruleset.tables.get(tableKey(family, table))?.sets.set(name, adopted);
    this.#netns.network.touch();
  }

  #plainSet(family: TableFamily, table: string, name: string): NftSet {
    const set = this.#ruleset.tables.get(tableKey(family, table))?.sets.get(name);
    if (set === undefined) throw new RangeError(`there is no set ${name} in ${family} ${table}`);
    if (set.options.isMap || set.volatile) {
      throw new RangeError(`elements of ${name} cannot be shared`);
    }
    return set;
  }

  hasTable(family: TableFamily, name: string): boolean {
    return this.#ruleset.tables.has(tableKey(family, name));
  }

  /** `nft -s list ruleset`. */
  list(): string {
    const { network } = this.#netns;
    network.settleFlows();
    const { now } = network.clock;
    let text = "";
    for (const table of this.#ruleset.tables.values()) text += listTable(table, this.#devices, now);
    return text;
  }

  /** `nft -j list ruleset` (libnftables-json(5)). */
  json(): Json {
    const { network } = this.#netns;
    network.settleFlows();
    return rulesetJson(this.#ruleset.tables.values(), this.#devices, network.clock.now);
  }

  /** Brings hooks in line with the base chains of a table. */
  #register(table: Table): void {
    const isThere = this.#ruleset.tables.get(tableKey(table.family, table.name)) === table;
    const active = isThere && !table.dormant;
    let registered = this.#registrations.get(table);
    for (const [name, { base, hook }] of registered ?? []) {
      const now = active ? table.chains.get(name)?.base : undefined;
      if (now !== undefined && sameHook(now, base)) continue;
      this.#attach(table, base, hook, false);
      registered?.delete(name);
    }
    if (!active) {
      this.#registrations.delete(table);
      return;
    }
    for (const family of table.conntrackFamilies) this.#netns.requireConntrack(family);
    for (const chain of table.baseChains()) {
      const { base, name } = chain;
      if (base === undefined || registered?.has(name) === true) continue;
      const hook = new BaseChainHook(table, chain);
      this.#attach(table, base, hook, true);
      registered ??= new Map();
      registered.set(name, { base, hook });
    }
    if (registered !== undefined) this.#registrations.set(table, registered);
  }

  #attach(table: Table, base: BaseChain, hook: BaseChainHook, on: boolean): void {
    const number = HOOK_NUMBERS[base.hook];
    if (number === undefined) return; // ingress and egress
    for (const family of HOOK_FAMILIES[table.family]) {
      if (base.type === "nat" && (family === NFPROTO_IPV4 || family === NFPROTO_IPV6)) {
        const version = family === NFPROTO_IPV4 ? 4 : 6;
        if (on) registerNat(this.#netns, version, number, hook);
        else unregisterNat(this.#netns, version, number, hook);
      } else if (on) this.#netns.netfilter.register(family, number, hook);
      else this.#netns.netfilter.unregister(family, number, hook);
    }
  }
}

function sameHook(x: BaseChain, y: BaseChain): boolean {
  return x.type === y.type && x.hook === y.hook && x.priority === y.priority;
}
