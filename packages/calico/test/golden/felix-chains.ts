import type {
  HostEndpoint,
  Policy,
  PolicyId,
  Profile,
  WorkloadEndpoint,
} from "../../src/calc/messages.ts";
import { policyIdText } from "../../src/names/policy-id.ts";
import { hostFilterDispatchChains, workloadDispatchChains } from "../../src/rules/dispatch.ts";
import {
  hostFilterChains,
  hostMangleEgressChain,
  hostMangleIngressChain,
  hostRawChains,
  workloadChains,
} from "../../src/rules/endpoint-chains.ts";
import { ALL_INTERFACES } from "../../src/rules/fixed-names.ts";
import { policyChains, profileChains } from "../../src/rules/policy-chains.ts";
import {
  groupTiers,
  hasOwnChain,
  policyGroupChain,
  type TierGroups,
} from "../../src/rules/policy-group.ts";
import type { TableChain } from "../../src/rules/rule.ts";
import { DEFAULT_RULES_CONFIG, type RulesConfig } from "../../src/rules/rules-config.ts";
import { differentChains, type GoldenChain } from "./chain-lines.ts";

/** What the calculation graph says of one node. */
export interface NodeMessages {
  readonly policies: readonly { readonly id: PolicyId; readonly policy: Policy }[];
  readonly profiles: ReadonlyMap<string, Profile>;
  readonly workloads: readonly WorkloadEndpoint[];
  readonly hosts: readonly HostEndpoint[];
}

/** Chains by table as the vectors have them. */
export type GoldenTables = Readonly<Record<string, readonly GoldenChain[]>>;

/** Compares the chains of a scenario. Those of table raw and mangle are there for host endpoints only. @returns the first difference */
export function differentTables(
  wanted: GoldenTables,
  messages: NodeMessages,
  backend: "iptables" | "nftables",
): string | undefined {
  const have = tables(messages, { ...DEFAULT_RULES_CONFIG, backend });
  for (const [table, chains] of Object.entries(wanted)) {
    // Policies stand in every table here, and the vectors leave out those that one has no use for.
    const names = new Set(chains.map(({ name }) => name));
    const kept = (have[table] ?? []).filter(
      ({ name }) => names.has(name) || !/^cali-(p[io]|g[io])-|-wl-dispatch/.test(name),
    );
    const difference = differentChains(`${backend} ${table}`, chains, kept, backend, 4);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

function tables(messages: NodeMessages, config: RulesConfig): Record<string, TableChain[]> {
  const { policies, profiles, workloads, hosts } = messages;
  const selectors = new Map(
    policies.map(({ id, policy }) => [policyIdText(id), policy.originalSelector]),
  );
  const group = (tiers: Parameters<typeof groupTiers>[0]) =>
    groupTiers(tiers, (id) => selectors.get(policyIdText(id)) ?? "");
  const groups = new Map<string, TableChain>();
  const remember = (tiers: readonly TierGroups[]) => {
    for (const each of tiers.flatMap(({ inbound, outbound }) => [...inbound, ...outbound])) {
      if (!hasOwnChain(each)) continue;
      const chain = policyGroupChain(each, config);
      groups.set(chain.name, chain);
    }
    return tiers;
  };
  const policy = policies.flatMap(({ id, policy }) => policyChains(id, policy, config, 4));
  const filter = [
    ...policy,
    ...[...profiles].flatMap(([id, profile]) => profileChains(id, profile, config, 4)),
    ...workloads.flatMap((w) =>
      workloadChains(
        {
          interfaceName: w.name,
          adminUp: w.state === "active",
          tiers: remember(group(w.tiers)),
          profiles: w.profileIds,
          ...(w.qosControls === undefined ? {} : { qos: w.qosControls }),
        },
        config,
      ),
    ),
    ...workloadDispatchChains(
      workloads.map(({ name }) => name),
      config,
    ),
  ];
  const mangle = [...policy];
  const raw = [...policy];
  for (const host of hosts) {
    const name = host.name === "*" ? ALL_INTERFACES : host.name;
    const tiers = remember(group(host.tiers));
    filter.push(
      ...hostFilterChains(name, tiers, remember(group(host.forwardTiers)), host.profileIds, config),
    );
    mangle.push(
      hostMangleEgressChain(name, tiers, host.profileIds, config),
      hostMangleIngressChain(name, remember(group(host.preDnatTiers)), config),
    );
    if (host.untrackedTiers.length > 0) {
      raw.push(...hostRawChains(name, remember(group(host.untrackedTiers)), config));
    }
  }
  if (hosts.length > 0) {
    const names = hosts.map(({ name }) => name).filter((name) => name !== "*");
    filter.push(
      ...hostFilterDispatchChains({ names, wildcard: names.length < hosts.length }, config),
    );
  }
  return {
    filter: [...filter, ...groups.values()],
    mangle: [...mangle, ...groups.values()],
    raw: [...raw, ...groups.values()],
  };
}
