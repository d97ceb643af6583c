import type { LabelSelectorRequirement } from "@cnilab/core";
import type { PeerTerm } from "@cnilab/network-policy";
import type { EndpointSelector } from "../labels/endpoint-selector.ts";
import { POD_NAMESPACE_LABEL } from "../labels/kubernetes-labels.ts";
import { extendedKey, LABEL_SOURCE, type Label, parseExtendedKey } from "../labels/label.ts";
import type { AnalysisSettings } from "./analysis-settings.ts";
import type { CidrGroups } from "./cidr-groups.ts";
import { allOf, anyOf, either, fits, labelled, not, withLabel } from "./combined-terms.ts";
import { HOST_SERVES_API } from "./endpoint-labels.ts";
import type { KnownRanges } from "./known-ranges.ts";

/** Endpoints that have not got their labels yet. */
export const INIT: PeerTerm = withLabel("reserved.init");
/** All that policies can be for but nodes: pods, whose identity says their namespace, and what agents make themselves. */
export const ENDPOINT: PeerTerm = labelled({
  op: "any",
  of: [`k8s.${POD_NAMESPACE_LABEL}`, "reserved.init", "reserved.health", "reserved.ingress"].map(
    (key) => ({ op: "has", key }),
  ),
});
export const NODE: PeerTerm = withLabel("reserved.remote-node");
/** The node to the pods on it: its identity is `host` there, and `remote-node` everywhere else. */
export const HOST: PeerTerm = { kind: "all", of: [NODE, { kind: "local" }] };
const WORLD: PeerTerm = labelled({
  op: "any",
  of: ["world", "world-ipv4", "world-ipv6"].map((name) => ({ op: "has", key: `reserved.${name}` })),
});

/** Whom selectors of identities mean, as terms about endpoints. Each is read once. */
export class PeerTerms {
  readonly #ranges: KnownRanges;
  readonly #groups: CidrGroups;
  /** Whom ranges of addresses can mean. */
  readonly #withRanges: PeerTerm;
  readonly #known = new Map<string, PeerTerm>();

  constructor(settings: AnalysisSettings, ranges: KnownRanges, groups: CidrGroups) {
    this.#ranges = ranges;
    this.#groups = groups;
    this.#withRanges = settings.cidrMatchesNodes ? anyOf([WORLD, NODE]) : WORLD;
  }

  of(selector: EndpointSelector): PeerTerm {
    const key = selector.structure;
    let term = this.#known.get(key);
    if (term === undefined) {
      term = this.#find(selector.toExpressions());
      this.#known.set(key, term);
    }
    return term;
  }

  #find(requirements: readonly LabelSelectorRequirement[]): PeerTerm {
    const labels = requirements.map(({ key }) => parseExtendedKey(key));
    const elsewhere = requirements.map((one, i) => this.#requirement(labels[i] as Label, one));
    if (!labels.some(isAboutHost)) return allOf(elsewhere);
    const onHost = requirements.map((one, i) => {
      const wanted = labels[i] as Label;
      if (!isAboutHost(wanted)) return elsewhere[i] as PeerTerm;
      return wanted.key === "kube-apiserver"
        ? byLabel(HOST_SERVES_API, one)
        : fits(one, wanted.key === "host" ? "" : undefined);
    });
    return anyOf([allOf([not(HOST), ...elsewhere]), allOf([HOST, ...onHost])]);
  }

  #requirement(wanted: Label, requirement: LabelSelectorRequirement): PeerTerm {
    if (wanted.source === LABEL_SOURCE.cidr) return this.#range(wanted, requirement);
    if (wanted.source === LABEL_SOURCE.cidrGroup) {
      return this.#groups.term(wanted.key, requirement, this.#withRanges);
    }
    const { source, key } = wanted;
    // Whom a name of DNS leads to is not known here; and who is the host depends on who asks.
    const isOfNobody =
      source === LABEL_SOURCE.fqdn || (source === LABEL_SOURCE.reserved && key === "host");
    if (isOfNobody) return fits(requirement, undefined);
    return byLabel(extendedKey(wanted), requirement);
  }

  /** What has an address in the range; such labels have no value. */
  #range({ prefix }: Label, requirement: LabelSelectorRequirement): PeerTerm {
    if (prefix === undefined) return fits(requirement, undefined);
    const cidrs = this.#ranges.within(prefix);
    if (cidrs.length === 0) return fits(requirement, undefined);
    const inside = allOf([this.#withRanges, { kind: "block", cidrs, except: [] }]);
    return either(inside, fits(requirement, ""), fits(requirement, undefined));
  }
}

function isAboutHost({ source, key }: Label): boolean {
  return (
    (source === LABEL_SOURCE.reserved || source === LABEL_SOURCE.any) &&
    ["host", "remote-node", "kube-apiserver"].includes(key)
  );
}

function byLabel(key: string, { operator, values = [] }: LabelSelectorRequirement): PeerTerm {
  switch (operator) {
    case "In":
      return labelled({ op: "in", key, values });
    case "NotIn":
      return not(labelled({ op: "in", key, values }));
    case "Exists":
      return withLabel(key);
    case "DoesNotExist":
      return not(withLabel(key));
  }
}
