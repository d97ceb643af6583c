import {
  type LabelSelector,
  type LabelSelectorRequirement,
  NAMESPACE_NAME_LABEL,
  namespaceLabels,
} from "@cnilab/core";
import { requirements } from "../analyse/label-index.ts";
import { peerMatches } from "../policy/match.ts";
import { type PeerTerm, type PodTerm, type Policy, rulesOf } from "../policy/policy.ts";
import { type PodLabels, type PodsOfTerm, podsOf } from "./pod-terms.ts";
import type { Workload } from "./workloads.ts";

/**
 * Pods that a rule speaks of, whether there are any or not. Of their labels nothing is known but the selectors, so that
 * another rule is about them only where its selectors are the same, or empty.
 */
export interface PossiblePeer {
  readonly namespaceSelector: LabelSelector;
  readonly podSelector: LabelSelector;
}

/** Every pod of every namespace, known and unknown: only rules without any selector are about it. */
export const ENTIRE_CLUSTER = "entire-cluster";

/**
 * The peers that the policies' rules speak of, each once. Left out is who is there already: a peer by labels alone which
 * some workload has.
 */
export function possiblePeers(
  policies: readonly Policy[],
  all: readonly Workload[],
  labels: PodLabels,
): readonly PossiblePeer[] {
  const found = new Map<string, PossiblePeer & Pick<PodsOfTerm, "term">>();
  for (const { rule } of rulesOf(policies)) {
    const some = (rule.peers ?? []).flatMap((term) => podsOf(term, labels));
    // A rule for everybody is for nobody in particular.
    if (some.some(({ pods }) => isEverybody(peerOf(pods)))) continue;
    for (const { pods, term } of some) {
      const peer = peerOf(pods);
      const key = keyOf(peer);
      if (!found.has(key)) found.set(key, { ...peer, term });
    }
  }
  return [...found.values()].filter((peer) => !isThere(peer, peer.term, all));
}

function peerOf({ namespace, namespaceSelector = {}, podSelector }: PodTerm): PossiblePeer {
  return {
    namespaceSelector:
      namespace === undefined
        ? namespaceSelector
        : { matchLabels: namespaceLabels({ name: namespace }) },
    podSelector,
  };
}

/** Whether a rule's term is about all that a possible peer stands for. */
export function admits(term: PodTerm, peer: PossiblePeer | typeof ENTIRE_CLUSTER): boolean {
  const { namespaceSelector, podSelector } = peerOf(term);
  if (peer === ENTIRE_CLUSTER) return isEverybody({ namespaceSelector, podSelector });
  return (
    sameOrEmpty(namespaceSelector, peer.namespaceSelector) &&
    sameOrEmpty(podSelector, peer.podSelector)
  );
}

function sameOrEmpty(ruleSelector: LabelSelector, selector: LabelSelector): boolean {
  return isEmpty(ruleSelector) || textOf(ruleSelector) === textOf(selector);
}

function isEverybody({ namespaceSelector, podSelector }: PossiblePeer): boolean {
  return isEmpty(namespaceSelector) && isEmpty(podSelector);
}

function isEmpty(selector: LabelSelector): boolean {
  return requirements(selector).length === 0;
}

/** Peers by expressions stay, as do all pods of a namespace, and pods of whatever namespace. */
function isThere(peer: PossiblePeer, term: PeerTerm, all: readonly Workload[]): boolean {
  const { namespaceSelector, podSelector } = peer;
  const byExpressions = [namespaceSelector, podSelector].some(
    ({ matchExpressions = [] }) => matchExpressions.length > 0,
  );
  if (byExpressions || isEmpty(namespaceSelector) || isEmpty(podSelector)) return false;
  return all.some(({ pods }) => pods.some((pod) => peerMatches(term, pod)));
}

function keyOf({ namespaceSelector, podSelector }: PossiblePeer): string {
  return `${textOf(namespaceSelector)}/${textOf(podSelector)}`;
}

/** Equal for selectors that demand the same: `app in (x)` is `app=x`. */
function textOf(selector: LabelSelector): string {
  return requirements(selector)
    .map(({ key, operator, values = [] }) => `${key} ${operator} ${[...values].sort().join()}`)
    .sort()
    .join(";");
}

/** `[namespace with {env=prod}]/[all pods]`, or `web/[pod with {app=db}]`, as netpol-analyzer writes it. */
export function possiblePeerName({ namespaceSelector, podSelector }: PossiblePeer): string {
  const pods = isEmpty(podSelector) ? "all pods" : `pod with {${selectorText(podSelector)}}`;
  return `${namespaceName(namespaceSelector)}/[${pods}]`;
}

function namespaceName(selector: LabelSelector): string {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  const name = matchLabels[NAMESPACE_NAME_LABEL];
  if (
    name !== undefined &&
    Object.keys(matchLabels).length === 1 &&
    matchExpressions.length === 0
  ) {
    return name;
  }
  return isEmpty(selector) ? "[all namespaces]" : `[namespace with {${selectorText(selector)}}]`;
}

function selectorText({ matchLabels = {}, matchExpressions = [] }: LabelSelector): string {
  const equal = Object.entries(matchLabels)
    .map(([key, value]) => `${key}=${value}`)
    .sort();
  return [...equal, ...matchExpressions.map(requirementText).sort()].join(",");
}

function requirementText({ key, operator, values = [] }: LabelSelectorRequirement): string {
  return `{Key:${key},Operator:${operator},Values:[${values.join(" ")}],}`;
}
