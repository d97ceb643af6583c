import type { IpFamily } from "@cnilab/net";
import type {
  HostEndpoint,
  Policy,
  PolicyId,
  Profile,
  TierInfo,
  WorkloadEndpoint,
} from "../calc/messages.ts";
import { policyIdText } from "../names/policy-id.ts";
import {
  endpointMarkDispatchChains,
  hostFilterDispatchChains,
  hostMangleEgressDispatchChains,
  hostMangleIngressDispatchChains,
  hostRawDispatchChains,
  workloadDispatchChains,
  workloadDispatchMaps,
} from "../rules/dispatch.ts";
import {
  hostFilterChains,
  hostMangleEgressChain,
  hostMangleIngressChain,
  hostRawChains,
  setMarkChain,
  workloadChains,
} from "../rules/endpoint-chains.ts";
import { ALL_INTERFACES, CHAIN } from "../rules/fixed-names.ts";
import { policyChains, profileChains } from "../rules/policy-chains.ts";
import {
  groupTiers,
  hasOwnChain,
  type PolicyGroup,
  policyGroupChain,
  type TierGroups,
} from "../rules/policy-group.ts";
import { ACCEPT, chainsCalledBy, jump, type TableChain, type TableRule } from "../rules/rule.ts";
import type { RulesConfig } from "../rules/rules-config.ts";
import { forwardAppendRules, staticFilterChains } from "../rules/static-filter.ts";
import { staticMangleChains } from "../rules/static-mangle.ts";
import {
  cidrBlockChain,
  fipDnatChain,
  fipSnatChain,
  natOutgoingChain,
  staticNatChains,
} from "../rules/static-nat.ts";
import { staticRawChains } from "../rules/static-raw.ts";
import type { DataplaneInput } from "./dataplane-input.ts";
import { resolveHostEndpoints, WILDCARD } from "./host-interfaces.ts";
import { dscpSources } from "./ip-sets.ts";

export const TABLES = ["raw", "mangle", "nat", "filter"] as const;
export type TableName = (typeof TABLES)[number];

/** What Felix wants in one table. */
export interface WantedTable {
  /** By name; only those that something leads to. The same object as long as nothing in it changed. */
  readonly chains: ReadonlyMap<string, TableChain>;
  /** Rules at the head of built-in chains (at their end where the configuration says append). */
  readonly inserted: ReadonlyMap<string, readonly TableRule[]>;
  /** Rules at the end of built-in chains. */
  readonly appended: ReadonlyMap<string, readonly TableRule[]>;
  /** Verdict maps: where an interface leads. nftables only. */
  readonly maps: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

export type WantedTables = Readonly<Record<TableName, WantedTable>>;

/** Puts the chains of before in place of those that are like them: who has read or programmed one need not do so again. */
export function keepEqualChains(
  before: WantedTables | undefined,
  after: WantedTables,
): WantedTables {
  if (before === undefined) return after;
  const kept = (table: TableName): WantedTable => {
    const { chains, ...others } = after[table];
    const old = before[table].chains;
    return {
      ...others,
      chains: new Map([...chains].map(([name, chain]) => [name, keptChain(old.get(name), chain)])),
    };
  };
  return { raw: kept("raw"), mangle: kept("mangle"), nat: kept("nat"), filter: kept("filter") };
}

function keptChain(old: TableChain | undefined, chain: TableChain): TableChain {
  if (old === undefined || old === chain) return chain;
  const isEqual =
    old.rules.length === chain.rules.length && JSON.stringify(old) === JSON.stringify(chain);
  return isEqual ? old : chain;
}

/** Where Felix's chains hang (`felix/dataplane/linux/int_dataplane.go` setUpIptablesNormal). */
const HOOKS: Readonly<Record<TableName, Readonly<Record<string, string>>>> = {
  raw: { PREROUTING: CHAIN.prerouting, OUTPUT: CHAIN.output },
  mangle: { PREROUTING: CHAIN.prerouting, POSTROUTING: CHAIN.postrouting },
  nat: { PREROUTING: CHAIN.prerouting, OUTPUT: CHAIN.output },
  filter: { FORWARD: CHAIN.forward, INPUT: CHAIN.input, OUTPUT: CHAIN.output },
};

/** The same rules for all nodes: whoever has read them need not do so again. */
const INSERTED = Object.fromEntries(
  TABLES.map((table) => [table, jumps(Object.entries(HOOKS[table]))]),
) as Readonly<Record<TableName, WantedTable["inserted"]>>;

const NOTHING_APPENDED: WantedTable["appended"] = new Map();

/** After kube-proxy, whose chain takes its mark off what it masquerades: a tunnel would copy the mark to the outer packet. */
const APPENDED_TO_NAT = jumps([["POSTROUTING", CHAIN.postrouting]]);

function jumps(to: readonly (readonly [hook: string, chain: string])[]): WantedTable["inserted"] {
  return new Map(to.map(([hook, chain]) => [hook, [{ action: jump(chain) }]]));
}

/**
 * Renders what nodes have in common once: chains of policies and profiles, and those that only the configuration decides about.
 * One for all nodes of a cluster.
 */
export class TableRenderer {
  readonly #static = new Map<string, Readonly<Record<TableName, readonly TableChain[]>>>();
  readonly #policies = new WeakMap<Policy, Map<string, readonly TableChain[]>>();
  readonly #profiles = new WeakMap<Profile, Map<string, readonly TableChain[]>>();
  readonly #groups = new Map<string, TableChain>();
  readonly #appendedToFilter = new Map<string, WantedTable["appended"]>();
  readonly #workloads = new WeakMap<WorkloadEndpoint, RenderedWorkload>();
  /** Equal configurations have one short name. */
  readonly #configs = new WeakMap<RulesConfig, string>();
  readonly #configNames = new Map<string, string>();

  render(input: DataplaneInput, family: IpFamily): WantedTables {
    return new NodeTables(this, input, family).render();
  }

  /** Chains of all tables that depend on nothing but the configuration. */
  staticChains(
    config: RulesConfig,
    family: IpFamily,
  ): Readonly<Record<TableName, readonly TableChain[]>> {
    const key = `${family} ${this.#key(config)}`;
    let chains = this.#static.get(key);
    if (chains === undefined) {
      chains = {
        raw: staticRawChains(config, family),
        mangle: staticMangleChains(config, family),
        nat: staticNatChains(config, family),
        filter: staticFilterChains(config, family),
      };
      this.#static.set(key, chains);
    }
    return chains;
  }

  /** Rules at the end of built-in chains of the table filter. */
  appendedToFilter(config: RulesConfig): WantedTable["appended"] {
    const key = this.#key(config);
    let appended = this.#appendedToFilter.get(key);
    if (appended === undefined) {
      appended = new Map([["FORWARD", forwardAppendRules(config)]]);
      this.#appendedToFilter.set(key, appended);
    }
    return appended;
  }

  policyChains(
    id: PolicyId,
    policy: Policy,
    config: RulesConfig,
    family: IpFamily,
  ): readonly TableChain[] {
    return this.#once(this.#policies, policy, config, family, () =>
      policyChains(id, policy, config, family),
    );
  }

  profileChains(
    id: string,
    profile: Profile,
    config: RulesConfig,
    family: IpFamily,
  ): readonly TableChain[] {
    return this.#once(this.#profiles, profile, config, family, () =>
      profileChains(id, profile, config, family),
    );
  }

  groupChain(group: PolicyGroup, config: RulesConfig): TableChain {
    const text = group.policies.map(policyIdText).join();
    const key = `${this.#key(config)} ${group.direction} ${text} ${group.selector}`;
    let chain = this.#groups.get(key);
    if (chain === undefined) {
      chain = policyGroupChain(group, config);
      this.#groups.set(key, chain);
    }
    return chain;
  }

  /** The same one as before where nothing that it depends on is different. @param selectorOf the text of a policy's selector */
  workload(
    endpoint: WorkloadEndpoint,
    config: RulesConfig,
    selectorOf: (id: PolicyId) => string,
  ): RenderedWorkload {
    const key = this.#key(config);
    const selectors = endpoint.tiers.flatMap(({ ingressPolicies, egressPolicies }) =>
      [...ingressPolicies, ...egressPolicies].map(selectorOf),
    );
    const known = this.#workloads.get(endpoint);
    if (known?.config === key && known.selectors.every((text, i) => text === selectors[i])) {
      return known;
    }
    const groups = groupTiers(endpoint.tiers, selectorOf);
    const chains = workloadChains(
      {
        interfaceName: endpoint.name,
        adminUp: endpoint.state === "active",
        tiers: groups,
        profiles: endpoint.profileIds,
        ...(endpoint.qosControls === undefined ? {} : { qos: endpoint.qosControls }),
      },
      config,
    );
    const rendered = { config: key, selectors, groups, chains };
    this.#workloads.set(endpoint, rendered);
    return rendered;
  }

  #once<T extends object>(
    cache: WeakMap<T, Map<string, readonly TableChain[]>>,
    of: T,
    config: RulesConfig,
    family: IpFamily,
    make: () => readonly TableChain[],
  ): readonly TableChain[] {
    let variants = cache.get(of);
    if (variants === undefined) {
      variants = new Map();
      cache.set(of, variants);
    }
    const key = `${family} ${this.#key(config)}`;
    let chains = variants.get(key);
    if (chains === undefined) {
      chains = make();
      variants.set(key, chains);
    }
    return chains;
  }

  #key(config: RulesConfig): string {
    let key = this.#configs.get(config);
    if (key === undefined) {
      const text = JSON.stringify(config);
      key = this.#configNames.get(text) ?? String(this.#configNames.size);
      this.#configNames.set(text, key);
      this.#configs.set(config, key);
    }
    return key;
  }
}

/** What one workload comes to, alike in both families. */
interface RenderedWorkload {
  /** Name of the configuration. */
  readonly config: string;
  /** Of the policies of its tiers, in order. */
  readonly selectors: readonly string[];
  readonly groups: readonly TierGroups[];
  readonly chains: readonly TableChain[];
}

/** The tables of one node and family. */
class NodeTables {
  readonly #shared: TableRenderer;
  readonly #input: DataplaneInput;
  readonly #family: IpFamily;
  readonly #config: RulesConfig;
  readonly #chains: Record<TableName, Map<string, TableChain>> = {
    raw: new Map(),
    mangle: new Map(),
    nat: new Map(),
    filter: new Map(),
  };

  constructor(shared: TableRenderer, input: DataplaneInput, family: IpFamily) {
    this.#shared = shared;
    this.#input = input;
    this.#family = family;
    this.#config = input.config.rules;
  }

  render(): WantedTables {
    const fixed = this.#shared.staticChains(this.#config, this.#family);
    for (const table of TABLES) this.#add(table, fixed[table]);
    this.#addPolicies();
    this.#addWorkloads();
    this.#addHosts();
    this.#addNat();
    return {
      raw: this.#wanted("raw", NOTHING_APPENDED),
      mangle: this.#wanted("mangle", NOTHING_APPENDED),
      nat: this.#wanted("nat", APPENDED_TO_NAT),
      filter: this.#wanted("filter", this.#shared.appendedToFilter(this.#config)),
    };
  }

  #add(table: TableName, chains: Iterable<TableChain>): void {
    for (const chain of chains) this.#chains[table].set(chain.name, chain);
  }

  /** A policy may be for any table; where nothing leads to its chains they are left out again. */
  #addPolicies(): void {
    const { policies, profiles } = this.#input.policy;
    for (const { id, policy } of policies.values()) {
      const chains = this.#shared.policyChains(id, policy, this.#config, this.#family);
      for (const table of ["raw", "mangle", "filter"] as const) this.#add(table, chains);
    }
    for (const [id, profile] of profiles) {
      const chains = this.#shared.profileChains(id, profile, this.#config, this.#family);
      for (const table of ["mangle", "filter"] as const) this.#add(table, chains);
    }
  }

  #addWorkloads(): void {
    const { policy, endpointMarks } = this.#input;
    const names: string[] = [];
    for (const workload of policy.workloads.values()) {
      names.push(workload.name);
      const { groups, chains } = this.#shared.workload(workload, this.#config, this.#selectorOf);
      this.#addGroups(groups);
      this.#add("filter", chains);
      if (this.#config.ipvs) {
        this.#add("filter", [
          setMarkChain(workload.name, endpointMarks.of(workload.name), this.#config),
        ]);
      }
    }
    this.#add("filter", workloadDispatchChains(names, this.#config));
  }

  #addHosts(): void {
    const resolved = resolveHostEndpoints(this.#input.policy.hosts, this.#input.interfaces);
    const config = this.#config;
    const untracked: string[] = [];
    const preDnat: string[] = [];
    for (const [iface, host] of resolved) {
      const name = iface === WILDCARD ? ALL_INTERFACES : iface;
      const tiers = this.#groups(host.tiers);
      const forward = this.#groups(host.forwardTiers);
      const { endpointId, profileIds } = host;
      this.#add("filter", hostFilterChains(name, tiers, forward, profileIds, config, endpointId));
      this.#add("mangle", [hostMangleEgressChain(name, tiers, profileIds, config, endpointId)]);
      if (host.preDnatTiers.length > 0) {
        preDnat.push(iface);
        const preDnatTiers = this.#groups(host.preDnatTiers);
        this.#add("mangle", [hostMangleIngressChain(name, preDnatTiers, config)]);
      }
      // doNotTrack policy does not work for all interfaces at once.
      if (host.untrackedTiers.length > 0 && iface !== WILDCARD) {
        untracked.push(iface);
        this.#add("raw", hostRawChains(name, this.#groups(host.untrackedTiers), config));
      }
      if (config.ipvs) {
        this.#add("filter", [setMarkChain(name, this.#input.endpointMarks.of(name), config)]);
      }
    }
    this.#addHostDispatch(resolved, untracked, preDnat);
  }

  #addHostDispatch(
    resolved: ReadonlyMap<string, HostEndpoint>,
    untracked: readonly string[],
    preDnat: readonly string[],
  ): void {
    const config = this.#config;
    const all = interfacesOf([...resolved.keys()]);
    this.#add("raw", hostRawDispatchChains(untracked, config));
    this.#add("raw", [this.#rpfSkipChain()]);
    this.#add("mangle", hostMangleIngressDispatchChains(interfacesOf(preDnat), config));
    this.#add("mangle", hostMangleEgressDispatchChains(all, config));
    this.#add("mangle", [this.#dscpChain()]);
    this.#add("filter", hostFilterDispatchChains(all, config));
    if (!config.ipvs) return;
    const workloads = [...this.#input.policy.workloads.values()].map(({ name }) => name);
    const hosts = all.wildcard ? [...all.names, ALL_INTERFACES] : all.names;
    const marks = new Map(
      [...workloads, ...hosts].flatMap((name): [string, number][] => {
        const mark = this.#input.endpointMarks.of(name);
        return mark === undefined ? [] : [[name, mark]];
      }),
    );
    this.#add("filter", endpointMarkDispatchChains(workloads, hosts, marks, config));
  }

  /** Sources that a workload may have besides its own addresses. */
  #rpfSkipChain(): TableChain {
    const rules: TableRule[] = [];
    if (this.#input.config.sourceSpoofing) {
      for (const {
        name,
        allowSpoofedSourcePrefixes = [],
      } of this.#input.policy.workloads.values()) {
        for (const net of allowSpoofedSourcePrefixes) {
          if (net.includes(":") !== (this.#family === 6)) continue;
          rules.push({
            matches: [
              { match: "interface", direction: "in", name },
              { match: "net", side: "source", net },
            ],
            action: ACCEPT,
          });
        }
      }
    }
    return { name: CHAIN.rpfSkip, rules };
  }

  #dscpChain(): TableChain {
    const sources = [...dscpSources(this.#input, this.#family)];
    sources.sort(([x], [y]) => (x < y ? -1 : 1));
    return {
      name: CHAIN.egressDscp,
      rules: sources.map(
        ([net, value]): TableRule => ({
          matches: [{ match: "net", side: "source", net }],
          action: { action: "dscp", value },
        }),
      ),
    };
  }

  #addNat(): void {
    const { config, pools, bgp } = this.#input;
    const family = this.#family;
    const active = pools.some(
      ({ cidr, masquerade }) => masquerade === true && cidr.includes(":") === (family === 6),
    );
    const { dnats, snats } = this.#floatingIps();
    this.#add("nat", [
      natOutgoingChain(config.rules, family, active),
      fipDnatChain(dnats),
      fipSnatChain(snats),
    ]);
    const blocked = [
      ...bgp.serviceClusterCidrs,
      ...bgp.serviceExternalCidrs,
      ...bgp.serviceLoadbalancerCidrs,
    ];
    this.#add("filter", [cidrBlockChain(config.rules, family, blocked)]);
  }

  /** Of several claims to one address the first in order counts (`felix/dataplane/linux/floating_ip_mgr.go`). */
  #floatingIps(): Record<"dnats" | "snats", Map<string, string>> {
    const dnats = new Map<string, string>();
    const snats = new Map<string, string>();
    if (!this.#input.config.floatingIps) return { dnats, snats };
    for (const { ipv4Nat = [], ipv6Nat = [] } of this.#input.policy.workloads.values()) {
      for (const { extIp, intIp } of this.#family === 4 ? ipv4Nat : ipv6Nat) {
        const other = dnats.get(extIp);
        if (other === undefined || intIp < other) dnats.set(extIp, intIp);
      }
    }
    for (const [extIp, intIp] of dnats) {
      const other = snats.get(intIp);
      if (other === undefined || extIp < other) snats.set(intIp, extIp);
    }
    return { dnats, snats };
  }

  readonly #selectorOf = (id: PolicyId): string =>
    this.#input.policy.policies.get(policyIdText(id))?.policy.originalSelector ?? "";

  #groups(tiers: readonly TierInfo[]): TierGroups[] {
    const groups = groupTiers(tiers, this.#selectorOf);
    this.#addGroups(groups);
    return groups;
  }

  #addGroups(tiers: readonly TierGroups[]): void {
    for (const { inbound, outbound } of tiers) {
      for (const group of [...inbound, ...outbound]) {
        if (!hasOwnChain(group)) continue;
        const chain = this.#shared.groupChain(group, this.#config);
        for (const table of ["raw", "mangle", "filter"] as const) this.#add(table, [chain]);
      }
    }
  }

  /** Chains that nothing leads to are not programmed (`felix/iptables/table.go` chainRefCounts). */
  #wanted(table: TableName, appended: ReadonlyMap<string, readonly TableRule[]>): WantedTable {
    const all = this.#chains[table];
    const inserted = INSERTED[table];
    const chains = new Map<string, TableChain>();
    const maps = new Map<string, ReadonlyMap<string, string>>();
    const dispatch =
      this.#config.backend === "nftables" && table === "filter"
        ? workloadDispatchMaps(
            [...this.#input.policy.workloads.values()].map(({ name }) => name),
            this.#config,
          )
        : maps;
    const waiting: string[] = [];
    for (const rules of [...inserted.values(), ...appended.values()]) {
      waiting.push(...chainsCalledBy({ name: "", rules }));
    }
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const chain = all.get(name);
      if (chain === undefined || chains.has(name)) continue;
      chains.set(name, chain);
      waiting.push(...chainsCalledBy(chain));
      const map = dispatch.get(name);
      if (map === undefined) continue;
      maps.set(name, map);
      waiting.push(...map.values());
    }
    return { chains, inserted, appended, maps };
  }
}

function interfacesOf(all: readonly string[]): {
  readonly names: readonly string[];
  readonly wildcard: boolean;
} {
  return { names: all.filter((name) => name !== WILDCARD), wildcard: all.includes(WILDCARD) };
}
