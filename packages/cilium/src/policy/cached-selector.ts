import type { FQDNSelector } from "../api/v2/rule.ts";
import type { EndpointSelector } from "../labels/endpoint-selector.ts";
import { POD_NAMESPACE_LABEL } from "../labels/kubernetes-labels.ts";
import { LABEL_SOURCE } from "../labels/label.ts";
import type { LabelSet } from "../labels/label-set.ts";

/** What selects peers: labels, or a name that DNS has told of (pkg/policy/selectorcache_selector.go). */
export interface PeerSelector {
  /** Two of one key are the same. */
  readonly key: string;
  /** Selects everything, known or not. */
  readonly isWildcard: boolean;
  /** Selects nobody, ever. */
  readonly isNone: boolean;
  /** Outside of these namespaces it selects nobody. */
  readonly namespaces?: readonly string[];
  /** Names of DNS that it selects by. */
  readonly fqdn?: FQDNSelector;
  matches(labels: LabelSet): boolean;
}

export function labelSelector(selector: EndpointSelector): PeerSelector {
  const namespaces = selector.valuesOf(`k8s.${POD_NAMESPACE_LABEL}`);
  return {
    key: selector.structure,
    isWildcard: selector.isWildcard,
    isNone: selector.toString() === "reserved.none=",
    ...(namespaces && { namespaces }),
    matches: (labels) => selector.matches(labels),
  };
}

export function fqdnSelector({ matchName = "", matchPattern = "" }: FQDNSelector): PeerSelector {
  const key = matchName === "" ? matchPattern : matchName;
  return {
    key: `fqdn:${matchName}|${matchPattern}`,
    isWildcard: false,
    isNone: false,
    fqdn: { matchName, matchPattern },
    matches: (labels) =>
      labels.some((each) => each.source === LABEL_SOURCE.fqdn && each.key === key),
  };
}
