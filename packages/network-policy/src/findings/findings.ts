import type { KubeObject } from "@cnilab/core";
import type { Bits } from "../analyse/bits.ts";
import { countBits } from "../analyse/bits.ts";
import { PolicyAnalysis } from "../analyse/policy-analysis.ts";
import { outsideRanges } from "../connections/connections.ts";
import { selectedWorkloads } from "../connections/selected.ts";
import { type Workload, workloadName, workloads } from "../connections/workloads.ts";
import { CLUSTER_DNS } from "../intent/cluster-dns.ts";
import { type IpProtocol, PROTOCOLS } from "../policy/ip-protocol.ts";
import { peerMatches, portMatches } from "../policy/match.ts";
import {
  DIRECTIONS,
  type PlacedRule,
  type Policy,
  policyName,
  type Rule,
  ruleName,
  rulesOf,
  simpleTerms,
} from "../policy/policy.ts";
import { outsideEndpoint, type PolicyEndpoint } from "../policy/policy-endpoint.ts";
import {
  KUBERNETES_POLICIES,
  type PolicyReader,
  withoutPodAddresses,
} from "../policy/policy-reader.ts";
import { ADMIN, BASELINE } from "../policy/tier.ts";
import { type Finding, findingAt } from "./finding.ts";
import { oneSided } from "./one-sided.ts";

/** What reviewers of policies ask about, as far as the objects show it. */
export function findings(
  objects: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly Finding[] {
  const { policies: inForce, endpoint, settings } = reader.read(objects);
  const all = workloads(objects, endpoint);
  const pods = all.flatMap((workload) => workload.pods);
  const outside = outsideRanges(inForce).map(({ first }) => endpoint(outsideEndpoint(first)));
  const analysis = new PolicyAnalysis(
    inForce,
    [...pods, endpoint(CLUSTER_DNS), ...outside],
    withoutPodAddresses(settings),
  );
  // Of what nobody wrote there is nothing to review.
  const policies = inForce.filter(({ isBuiltIn }) => isBuiltIn !== true);
  return [
    ...policies.flatMap((policy) => selectsNoPod(policy, pods)),
    ...policies.flatMap((policy) => withoutPeers(policy, analysis)),
    ...policies.flatMap((policy) => undeclaredPorts(policy, all)),
    ...coveredRules(policies, analysis),
    ...equalPriorities(policies),
    ...withoutDefaultDeny(policies, all),
    ...oneSided(policies, all, analysis),
  ];
}

function selectsNoPod(policy: Policy, pods: readonly PolicyEndpoint[]): readonly Finding[] {
  if (pods.some((pod) => peerMatches(policy.subject, pod))) return [];
  const message = "selects no pod of the input: it does nothing";
  return [findingAt(policy, undefined, { kind: "selects-no-pod", level: "warning", message })];
}

function withoutPeers(policy: Policy, analysis: PolicyAnalysis): readonly Finding[] {
  return [...rulesOf([policy])].flatMap(({ rule, direction }) => {
    if (rule.peers === undefined || countBits(analysis.peersOf(rule)) > 0) return [];
    if (namesPeers(rule)) return [];
    const whom =
      direction === "ingress"
        ? "nobody in the input can send what it is about"
        : "nobody in the input is there to receive what it is about";
    return [
      findingAt(policy, rule.path, {
        kind: "rule-without-peer",
        level: "note",
        message: `never matches: ${whom}`,
      }),
    ];
  });
}

/** Who is behind a name is not known here. */
function namesPeers({ peers = [] }: Rule): boolean {
  return peers.flatMap(simpleTerms).some(({ kind }) => kind === "domain");
}

/** Only where the pods say at all which ports they have. */
function undeclaredPorts(policy: Policy, all: readonly Workload[]): readonly Finding[] {
  const selected = all.filter(({ pods }) => pods.some((pod) => peerMatches(policy.subject, pod)));
  const declared = selected.flatMap(({ specs }) =>
    specs.flatMap(({ containers }) => containers.flatMap(({ ports = [] }) => ports)),
  );
  if (declared.length === 0) return [];
  return (policy.ingress ?? []).flatMap((rule) =>
    (rule.ports ?? []).flatMap((term) => {
      // No container declares ICMP.
      if ("first" in term && !(PROTOCOLS as readonly IpProtocol[]).includes(term.protocol))
        return [];
      const isDeclared =
        "portName" in term
          ? selected.some(({ pods }) =>
              pods.some((pod) =>
                pod.ports?.some(({ protocol, port }) => portMatches(term, pod, protocol, port)),
              ),
            )
          : declared.some(
              ({ protocol = "TCP", containerPort }) =>
                protocol === term.protocol &&
                containerPort >= term.first &&
                containerPort <= term.last,
            );
      if (isDeclared) return [];
      const port =
        "portName" in term
          ? term.portName
          : term.first === term.last
            ? `${term.first}`
            : `${term.first}-${term.last}`;
      const message = `opens port ${term.protocol ?? ""}${term.protocol === undefined ? "" : "/"}${port}, which no container of ${selected.map(workloadName).join(", ")} declares`;
      return [
        findingAt(policy, rule.path, {
          kind: "undeclared-port" as const,
          level: "warning",
          message,
        }),
      ];
    }),
  );
}

interface Placed extends PlacedRule {
  readonly subject: Bits;
}

/** Rules that another one makes needless: for all whom they are about it has said the same before, or something else. */
function coveredRules(policies: readonly Policy[], analysis: PolicyAnalysis): readonly Finding[] {
  const found: Finding[] = [];
  for (const direction of DIRECTIONS) {
    const placed: Placed[] = [...rulesOf(policies)]
      .filter((each) => each.direction === direction)
      .map((each) => ({ ...each, subject: analysis.classes.admittedBy(each.policy.subject) }));
    placed.forEach((each, i) => {
      const earlier = placed.find((other, j) => {
        const { tier } = each.policy;
        if (other.policy.tier !== tier || i === j) return false;
        const [rank, otherRank] = [each.rule.rank ?? 0, other.rule.rank ?? 0];
        const comesFirst = otherRank === rank ? j < i : otherRank < rank;
        // Where rules have no order, of two equal ones the second is needless.
        const before =
          comesFirst ||
          (tier.isUnordered === true && otherRank === rank && !covers(each, other, analysis));
        return before && covers(other, each, analysis);
      });
      if (earlier === undefined) return;
      const message = `changes nothing: ${ruleName(earlier)} is about all that it is about`;
      found.push(
        findingAt(each.policy, each.rule.path, { kind: "covered-rule", level: "note", message }),
      );
    });
  }
  return found;
}

function covers(wide: Placed, narrow: Placed, analysis: PolicyAnalysis): boolean {
  // What only logs decides nothing, and of these conditions it is not asked whether one is in the other.
  const { action, provided, selected, notPorts, sourcePorts, notSourcePorts } = wide.rule;
  return (
    action !== "Log" &&
    // Two rules together may let a proxy pass more than each alone.
    provided === undefined &&
    !namesPeers(narrow.rule) &&
    narrow.rule.action !== "Log" &&
    [selected, notPorts, sourcePorts, notSourcePorts].every((terms) => terms === undefined) &&
    contains(wide.subject, narrow.subject) &&
    contains(analysis.peersOf(wide.rule), analysis.peersOf(narrow.rule)) &&
    coversPorts(wide.rule, narrow.rule)
  );
}

function contains(wide: Bits, narrow: Bits): boolean {
  return narrow.every((word, i) => (word & ~(wide[i] as number)) === 0);
}

function coversPorts({ ports: wide }: Rule, { ports: narrow }: Rule): boolean {
  if (wide === undefined) return true;
  if (narrow === undefined) return false;
  return narrow.every((term) =>
    wide.some((other) => {
      if ("portName" in term || "portName" in other) {
        return (
          "portName" in term &&
          "portName" in other &&
          term.portName === other.portName &&
          term.protocol === other.protocol
        );
      }
      return (
        term.protocol === other.protocol && term.first >= other.first && term.last <= other.last
      );
    }),
  );
}

function equalPriorities(policies: readonly Policy[]): readonly Finding[] {
  return policies.flatMap((policy, i) => {
    const before = policies[i - 1];
    const isTie =
      before !== undefined &&
      (policy.tier === ADMIN || policy.tier === BASELINE) &&
      before.tier === policy.tier &&
      before.priority === policy.priority;
    if (!isTie) return [];
    const message = `has priority ${policy.priority} as ${policyName(before)} has: which is asked first is left open; give them different ones`;
    return [
      findingAt(policy, "spec.priority", { kind: "equal-priority", level: "warning", message }),
    ];
  });
}

/** Namespaces with workloads of which some are open because nothing selects them for ingress. */
function withoutDefaultDeny(
  policies: readonly Policy[],
  all: readonly Workload[],
): readonly Finding[] {
  const open = new Map<string, string[]>();
  const closed = selectedWorkloads(all, policies, "ingress");
  for (const workload of all) {
    if (closed.has(workloadName(workload))) continue;
    open.set(workload.namespace, [...(open.get(workload.namespace) ?? []), workload.name]);
  }
  return [...open].map(([namespace, names]) => ({
    kind: "no-default-deny",
    level: "note",
    object: `Namespace ${namespace}`,
    message: `no policy selects ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""} for ingress: anybody may connect; a NetworkPolicy with an empty podSelector would close the namespace`,
  }));
}
