import { type EndpointChainPrefix, endpointChainName } from "../names/chain-names.ts";
import { denyAction } from "./configured-actions.ts";
import { ALL_INTERFACES, CHAIN } from "./fixed-names.ts";
import {
  goTo,
  interfaces,
  RETURN,
  type RuleMatch,
  type TableChain,
  type TableRule,
} from "./rule.ts";
import type { RulesConfig } from "./rules-config.ts";

type Direction = "in" | "out";

/** From the interface to the workload's chains, in table filter; what is none of theirs is dropped (`felix/rules/dispatch.go` WorkloadDispatchChains). */
export function workloadDispatchChains(
  names: readonly string[],
  config: RulesConfig,
): TableChain[] {
  const unknown: TableRule[] = [{ comments: ["Unknown interface"], action: denyAction(config) }];
  if (config.backend === "nftables") {
    const root = (name: string, direction: Direction): TableChain => ({
      name,
      rules: [{ matches: [{ match: "verdict-map", direction, map: name }] }, ...unknown],
    });
    return [root(CHAIN.fromWorkloadDispatch, "in"), root(CHAIN.toWorkloadDispatch, "out")];
  }
  return [
    ...dispatchTree(CHAIN.fromWorkloadDispatch, "in", "cali-fw-", names, unknown, config),
    ...dispatchTree(CHAIN.toWorkloadDispatch, "out", "cali-tw-", names, unknown, config),
  ];
}

/** Verdict maps of the chains above: where each interface leads. nftables only. */
export function workloadDispatchMaps(
  names: readonly string[],
  config: RulesConfig,
): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const targets = (prefix: EndpointChainPrefix) =>
    new Map(names.map((name) => [name, endpointChainName(prefix, name, config.backend)]));
  return new Map([
    [CHAIN.fromWorkloadDispatch, targets("cali-fw-")],
    [CHAIN.toWorkloadDispatch, targets("cali-tw-")],
  ]);
}

/** Interfaces with a host endpoint of their own, and whether others have one in common. */
export interface HostInterfaces {
  readonly names: readonly string[];
  readonly wildcard: boolean;
}

/** For table filter: normal and forwarded packets (`felix/rules/dispatch.go` HostDispatchChains). */
export function hostFilterDispatchChains(of: HostInterfaces, config: RulesConfig): TableChain[] {
  const tree = (chain: string, direction: Direction, prefix: EndpointChainPrefix) =>
    dispatchTree(chain, direction, prefix, of.names, toWildcard(of, prefix, config), config);
  return [
    ...tree(CHAIN.fromHostEndpoint, "in", "cali-fh-"),
    ...tree(CHAIN.toHostEndpoint, "out", "cali-th-"),
    ...tree(CHAIN.fromHostEndpointForward, "in", "cali-fhfw-"),
    ...tree(CHAIN.toHostEndpointForward, "out", "cali-thfw-"),
  ];
}

/** For table raw; a wildcard host endpoint has no doNotTrack policy. */
export function hostRawDispatchChains(names: readonly string[], config: RulesConfig): TableChain[] {
  return [
    ...dispatchTree(CHAIN.fromHostEndpoint, "in", "cali-fh-", names, [], config),
    ...dispatchTree(CHAIN.toHostEndpoint, "out", "cali-th-", names, [], config),
  ];
}

/** For table mangle: preDNAT policy. */
export function hostMangleIngressDispatchChains(
  of: HostInterfaces,
  config: RulesConfig,
): TableChain[] {
  const end = toWildcard(of, "cali-fh-", config);
  return dispatchTree(CHAIN.fromHostEndpoint, "in", "cali-fh-", of.names, end, config);
}

/** For table mangle: egress policy for translated packets of this host. */
export function hostMangleEgressDispatchChains(
  of: HostInterfaces,
  config: RulesConfig,
): TableChain[] {
  const skip = config.interfacePrefixes.map(
    (prefix): TableRule => ({
      comments: ["Skip egress WHEP policy for traffic to local workload"],
      matches: [interfaces("out", prefix)],
      action: RETURN,
    }),
  );
  const end = of.wildcard ? [...skip, ...toWildcard(of, "cali-th-", config)] : [];
  return dispatchTree(CHAIN.toHostEndpoint, "out", "cali-th-", of.names, end, config);
}

function toWildcard(
  { wildcard }: HostInterfaces,
  prefix: EndpointChainPrefix,
  config: RulesConfig,
): TableRule[] {
  if (!wildcard) return [];
  return [{ action: goTo(endpointChainName(prefix, ALL_INTERFACES, config.backend)) }];
}

/**
 * For IPVS: marks what came from each endpoint, and finds the chain of a mark (`felix/rules/dispatch.go` endpointMarkDispatchChains).
 * @param marks of the endpoints that got one
 */
export function endpointMarkDispatchChains(
  workloads: readonly string[],
  hosts: readonly string[],
  marks: ReadonlyMap<string, number>,
  config: RulesConfig,
): TableChain[] {
  const { endpoint: mask, nonCaliEndpoint } = config.marks;
  const children: TableChain[] = [];
  const setMark: TableRule[] = [];
  for (const [infix, names] of [
    ["-wep", workloads],
    ["-hep", hosts],
  ] as const) {
    if (names.length === 0) continue;
    const chains = dispatchTree(CHAIN.setEndpointMark, "in", "cali-sm-", names, [], config, infix);
    setMark.push(...(chains.pop() as TableChain).rules);
    children.push(...chains);
  }
  for (const prefix of config.interfacePrefixes) {
    setMark.push({
      comments: ["Unknown endpoint"],
      matches: [interfaces("in", prefix)],
      action: denyAction(config),
    });
  }
  setMark.push({
    comments: ["Non-Cali endpoint mark"],
    action: { action: "set-masked-mark", mark: nonCaliEndpoint, mask },
  });
  const fromMark = (names: readonly string[], prefix: EndpointChainPrefix) =>
    [...new Set(names)].sort().flatMap((name): TableRule[] => {
      const value = marks.get(name);
      if (value === undefined) return [];
      const action = goTo(endpointChainName(prefix, name, config.backend));
      return [{ matches: [{ match: "mark", value, mask }], action }];
    });
  return [
    ...children,
    { name: CHAIN.setEndpointMark, rules: setMark },
    {
      name: CHAIN.fromEndpointMark,
      rules: [
        ...fromMark(workloads, "cali-fw-"),
        ...fromMark(hosts, "cali-fhfw-"),
        { comments: ["Unknown interface"], action: denyAction(config) },
      ],
    },
  ];
}

/**
 * A root chain, last, and before it a chain for each first letter that several interfaces have behind what all have in common: so that
 * not every packet meets every interface (`felix/rules/dispatch.go` buildSingleDispatchChainTree). nftables has maps for workloads only.
 */
function dispatchTree(
  root: string,
  direction: Direction,
  prefix: EndpointChainPrefix,
  all: readonly string[],
  end: readonly TableRule[],
  config: RulesConfig,
  infix = "",
): TableChain[] {
  const names = [...new Set(all)].sort();
  const common = commonPrefix(names);
  const toEndpoint = (name: string): TableRule => ({
    matches: [{ match: "interface", direction, name }],
    action: goTo(endpointChainName(prefix, name, config.backend)),
  });
  const children: TableChain[] = [];
  const rules: TableRule[] = [];
  for (const [start, members] of Map.groupBy(names, (name) => name.slice(0, common.length + 1))) {
    if (members.length === 1) {
      rules.push(...members.map(toEndpoint));
      continue;
    }
    const child = `${root}${infix}-${start.slice(common.length)}`;
    const match: RuleMatch = { match: "interface", direction, name: start, prefix: true };
    rules.push({ matches: [match], action: goTo(child) });
    children.push({ name: child, rules: [...members.map(toEndpoint), ...end] });
  }
  return [...children, { name: root, rules: [...rules, ...end] }];
}

/** @param names sorted */
function commonPrefix(names: readonly string[]): string {
  const first = names[0] ?? "";
  const last = names.at(-1) ?? "";
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}
