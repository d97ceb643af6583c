import {
  type LabelSelector,
  type LabelSelectorRequirement,
  NAMESPACE_NAME_LABEL,
} from "@cnilab/core";
import { requirements } from "../analyse/label-index.ts";
import type { LabelExpression, LabelRequirement } from "../policy/label-expression.ts";
import type { PeerTerm, PodTerm } from "../policy/policy.ts";
import type { PodLabel } from "../policy/policy-reader.ts";

/** Pods that a term means, and nobody else of whom it speaks, in the words of Kubernetes. */
export interface PodsOfTerm {
  readonly pods: PodTerm;
  /** The same as the CNI says it, for who is there. */
  readonly term: PeerTerm;
}

/** What keys of a CNI's labels say of pods; `undefined` for keys that pods never have. */
export type PodLabels = (key: string) => PodLabel | undefined;

/** Alternatives of a term that is longer than anybody writes are not gone through. */
const MOST = 64;

/** Which pods a term means: any of these. What labels of Kubernetes cannot say, and addresses, is left out. */
export function podsOf(term: PeerTerm, labels: PodLabels): readonly PodsOfTerm[] {
  if (term.kind === "pods") return [{ pods: term, term }];
  const found = alternatives(term, true, labels);
  return found.some((all) => all.length === 0) ? [podsWith([])] : found.map(podsWith);
}

/** One of what must hold of a pod. */
interface Condition {
  readonly of: "namespace" | "pod";
  readonly requirement: LabelSelectorRequirement;
  readonly term: PeerTerm;
}

type Alternatives = readonly (readonly Condition[])[];

const NOBODY: Alternatives = [];
const EVERYBODY: Alternatives = [[]];

function alternatives(term: PeerTerm, isWanted: boolean, labels: PodLabels): Alternatives {
  switch (term.kind) {
    case "pods":
      return isWanted ? [conditionsOf(term)] : NOBODY;
    case "labels":
      return ofExpression(term.where, isWanted, labels);
    case "nodes":
    case "domain":
      return isWanted ? NOBODY : EVERYBODY;
    case "block":
    case "family":
    case "local":
      // Not to be said of who is not there.
      return NOBODY;
    case "not":
      return alternatives(term.of, !isWanted, labels);
    default: {
      const each = term.of.map((one) => alternatives(one, isWanted, labels));
      return (term.kind === "all") === isWanted ? together(each) : either(each);
    }
  }
}

function ofExpression(where: LabelExpression, isWanted: boolean, labels: PodLabels): Alternatives {
  switch (where.op) {
    case "not":
      return ofExpression(where.of, !isWanted, labels);
    case "all":
    case "any": {
      const each = where.of.map((one) => ofExpression(one, isWanted, labels));
      return (where.op === "all") === isWanted ? together(each) : either(each);
    }
    default:
      return ofRequirement(where, isWanted, labels);
  }
}

function ofRequirement(
  where: LabelRequirement,
  isWanted: boolean,
  labels: PodLabels,
): Alternatives {
  const label = labels(where.key);
  const always = (holds: boolean) => (holds === isWanted ? EVERYBODY : NOBODY);
  if (label === undefined) return always(false);
  if (where.op === "has") {
    if (label.of === "namespace name" || label.of === "cluster") return always(true);
    return [
      [condition(label, { operator: isWanted ? "Exists" : "DoesNotExist" }, where, isWanted)],
    ];
  }
  if (where.op !== "in") return NOBODY;
  const { values } = where;
  if (label.of === "cluster") return always(values.includes(label.value));
  return [[condition(label, { operator: isWanted ? "In" : "NotIn", values }, where, isWanted)]];
}

function condition(
  label: Exclude<PodLabel, { readonly of: "cluster" }>,
  demand: Omit<LabelSelectorRequirement, "key">,
  where: LabelRequirement,
  isWanted: boolean,
): Condition {
  const term: PeerTerm = { kind: "labels", where };
  return {
    of: label.of === "pod" ? "pod" : "namespace",
    requirement: {
      key: label.of === "namespace name" ? NAMESPACE_NAME_LABEL : label.key,
      ...demand,
    },
    term: isWanted ? term : { kind: "not", of: term },
  };
}

function conditionsOf(term: PodTerm): readonly Condition[] {
  const { namespace, namespaceSelector = {}, podSelector } = term;
  const ofNamespace: readonly LabelSelectorRequirement[] =
    namespace === undefined
      ? requirements(namespaceSelector)
      : [{ key: NAMESPACE_NAME_LABEL, operator: "In", values: [namespace] }];
  return [
    ...ofNamespace.map((requirement) => ({ of: "namespace", requirement, term }) as const),
    ...requirements(podSelector).map((requirement) => ({ of: "pod", requirement, term }) as const),
  ];
}

function together(each: readonly Alternatives[]): Alternatives {
  return each.reduce(
    (all, some) =>
      all.length * some.length > MOST ? NOBODY : all.flatMap((x) => some.map((y) => [...x, ...y])),
    EVERYBODY,
  );
}

function either(each: readonly Alternatives[]): Alternatives {
  return each.flat();
}

function podsWith(all: readonly Condition[]): PodsOfTerm {
  const selector = (of: Condition["of"]) =>
    selectorOf(all.filter((each) => each.of === of).map(({ requirement }) => requirement));
  return {
    pods: {
      kind: "pods",
      namespaceSelector: selector("namespace"),
      podSelector: selector("pod"),
    },
    term: { kind: "all", of: [...new Set(all.map(({ term }) => term))] },
  };
}

function selectorOf(all: readonly LabelSelectorRequirement[]): LabelSelector {
  const isEqual = ({ operator, values = [] }: LabelSelectorRequirement) =>
    operator === "In" && values.length === 1;
  const equal = all.filter(isEqual).map(({ key, values = [] }) => [key, values[0]]);
  const others = all.filter((each) => !isEqual(each));
  return {
    ...(equal.length > 0 && { matchLabels: Object.fromEntries(equal) }),
    ...(others.length > 0 && { matchExpressions: others }),
  };
}
