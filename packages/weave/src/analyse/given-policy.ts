import type { IpBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";

// What weave-npc makes of a policy, before it is put into the one form of all policies: what it does not take, and what it takes
// otherwise than it is written.

type Direction = "ingress" | "egress";

/** A peer or a port, and where it stands. */
export interface Placed<T> {
  readonly path: string;
  readonly value: T;
}

export interface GivenRule {
  readonly path: string;
  /** Empty: any. */
  readonly peers: readonly Placed<NetworkPolicyPeer>[];
  /** Empty: any. */
  readonly ports: readonly Placed<NetworkPolicyPort>[];
}

/** A policy with its rules as weave-npc programs them. */
export interface GivenPolicy {
  readonly object: NetworkPolicy;
  readonly ingress: readonly GivenRule[];
  readonly egress: readonly GivenRule[];
  /** All that are written: their sets are made before any rule. */
  readonly peers: readonly NetworkPolicyPeer[];
  /** It programs these rules, though the policy is not about that direction. */
  readonly leavesOpen: readonly Direction[];
  /** What is enforced otherwise than it is written. */
  readonly deviations: readonly string[];
}

/** Why a policy is not taken at all; `undefined` where it is. */
export function whyRejected({ spec }: NetworkPolicy): string | undefined {
  for (const direction of DIRECTIONS) {
    for (const { path, ports } of rulesOf(spec, direction)) {
      for (const { path: at, value } of ports) {
        if (typeof value.port !== "string") continue;
        return `${path}.${at} names port ${value.port}, and weave-npc takes no policy with named ports; the pods that it selects stay as they are without it`;
      }
    }
  }
  return undefined;
}

const DIRECTIONS: readonly Direction[] = ["ingress", "egress"];

/** @param policy with its types; not one that is rejected */
export function givenPolicy(policy: NetworkPolicy): GivenPolicy {
  const { spec } = policy;
  const deviations: string[] = [];
  const written = [rulesOf(spec, "ingress"), rulesOf(spec, "egress")] as const;
  const peers = written.flat().flatMap((rule) => rule.peers.map(({ value }) => value));
  const [ingress, egress] = untilItStops(written, deviations);
  const leavesOpen: Direction[] = [];
  for (const [direction, type] of [
    ["ingress", "Ingress"],
    ["egress", "Egress"],
  ] as const) {
    if (spec.policyTypes?.includes(type) === true) continue;
    leavesOpen.push(direction);
    if ((spec[direction] ?? []).length === 0) continue;
    deviations.push(
      `spec.${direction} is programmed though policyTypes has no ${type}: it opens what other policies close`,
    );
  }
  for (const { path, ports } of [...ingress, ...egress]) {
    for (const { path: at, value } of ports) {
      if (value.endPort === undefined || value.endPort === value.port) continue;
      deviations.push(
        `${path}.${at} has endPort ${value.endPort}, which weave-npc does not know: port ${value.port} alone is let through`,
      );
    }
  }
  return { object: policy, ingress, egress, peers, leavesOpen, deviations };
}

/** iptables and sets are those of IPv4: weave-npc stops at the first rule that they refuse, with what it has programmed till then. */
function untilItStops(
  [ingress, egress]: readonly [readonly GivenRule[], readonly GivenRule[]],
  deviations: string[],
): readonly [readonly GivenRule[], readonly GivenRule[]] {
  const all = [...ingress, ...egress];
  const foreign = all.flatMap(({ path, peers }) =>
    peers.flatMap(({ path: at, value: { ipBlock } }) =>
      ipBlock !== undefined && isIpv6(ipBlock) ? [{ at: `${path}.${at}`, ipBlock }] : [],
    ),
  );
  const [first] = foreign;
  if (first === undefined) return [ingress, egress];
  const stop = `weave-npc knows no IPv6 and stops at ${first.ipBlock.cidr} (${first.at}):`;
  if (foreign.some(({ ipBlock: { except = [] } }) => except.length > 0)) {
    deviations.push(`${stop} its pods are closed, and none of its rules is there`);
    return [[], []];
  }
  // The real one goes through rules in the order of a map of Go, which is another each time; in that of the text here.
  deviations.push(`${stop} its pods are closed, and rules behind it are missing`);
  let isStopped = false;
  const upTo = (rules: readonly GivenRule[]) =>
    rules.flatMap((rule) => {
      if (isStopped) return [];
      const at = rule.peers.findIndex(({ value: { ipBlock } }) => ipBlock && isIpv6(ipBlock));
      if (at < 0) return [rule];
      isStopped = true;
      return at === 0 ? [] : [{ ...rule, peers: rule.peers.slice(0, at) }];
    });
  return [upTo(ingress), upTo(egress)];
}

function isIpv6({ cidr }: IpBlock): boolean {
  return parsePrefix(cidr).family === 6;
}

function rulesOf(spec: NetworkPolicy["spec"], direction: Direction): readonly GivenRule[] {
  const rules =
    direction === "ingress"
      ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
      : (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
  const field = direction === "ingress" ? "from" : "to";
  return rules.map(({ peers = [], ports = [] }, i) => ({
    path: `spec.${direction}[${i}]`,
    peers: peers.map((value, j) => ({ path: `${field}[${j}]`, value })),
    ports: ports.map((value, j) => ({ path: `ports[${j}]`, value })),
  }));
}
