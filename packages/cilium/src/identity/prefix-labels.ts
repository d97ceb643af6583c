import { type Prefix, Prefix as PrefixOf } from "@cnilab/net";
import { cidrLabels } from "../labels/cidr-labels.ts";
import { LABEL_SOURCE, type Label } from "../labels/label.ts";
import { type LabelSet, labelSet } from "../labels/label-set.ts";
import { isReserved, worldLabel } from "../labels/reserved-labels.ts";

// Labels of ranges of addresses out of what is known of them and of wider ranges (pkg/ipcache/metadata.go).

export interface PrefixLabelSettings {
  readonly dualStack: boolean;
  /** `policyCIDRMatchMode: nodes`: ranges match nodes, too. */
  readonly cidrMatchesNodes: boolean;
  /** `nodeSelectorLabels`: nodes have the labels of their objects. */
  readonly nodeLabels: boolean;
}

/**
 * What wider ranges have comes down to narrower ones, the nearest first; but of labels of ranges just one (mergeParentLabels).
 * @param hasLength whether there is any range of that length
 */
export function inheritLabels(
  own: LabelSet,
  prefix: Prefix,
  labelsOf: (prefix: Prefix) => LabelSet | undefined,
  hasLength: (length: number) => boolean = () => true,
): LabelSet {
  const all = new Map(own.map((each) => [each.key, each]));
  let hasCidr = own.some(({ source }) => source === LABEL_SOURCE.cidr);
  for (let length = prefix.length - 1; length >= 0; length--) {
    if (!hasLength(length)) continue;
    for (const each of labelsOf(new PrefixOf(prefix.address, length)) ?? []) {
      const isCidr = each.source === LABEL_SOURCE.cidr;
      if ((isCidr && hasCidr) || all.has(each.key)) continue;
      all.set(each.key, each);
      hasCidr ||= isCidr;
    }
  }
  return labelSet(all.values());
}

const WORLD = ["world", "world-ipv4", "world-ipv6"];
const OF_RANGES: readonly string[] = [LABEL_SOURCE.cidr, LABEL_SOURCE.fqdn, LABEL_SOURCE.cidrGroup];

/** What is in the cluster is not the world, and by default no range's (resolveLabels). */
export function resolveLabels(
  labels: LabelSet,
  prefix: Prefix,
  settings: PrefixLabelSettings,
): LabelSet {
  const isNode = isReserved(labels, "remote-node") || isReserved(labels, "host");
  const isInCluster = isNode || isReserved(labels, "health") || isReserved(labels, "ingress");
  const keepsRanges = !isInCluster || (isNode && settings.cidrMatchesNodes);
  const keepsNodeLabels = isNode && settings.nodeLabels;
  const kept: Label[] = labels.filter(({ key, source }) => {
    if (isInCluster && WORLD.includes(key)) return false;
    if (!keepsRanges && OF_RANGES.includes(source)) return false;
    return keepsNodeLabels || source !== LABEL_SOURCE.node;
  });
  if (kept.length === 0) kept.push(...cidrLabels(prefix, settings.dualStack));
  if (!isInCluster) kept.push(worldLabel(prefix.family, settings.dualStack));
  return labelSet(kept);
}
