import type { Labels } from "@cnilab/core";
import { familyOf, formatIp } from "@cnilab/net";
import type { PolicyEndpoint } from "@cnilab/network-policy";
import { podLabels } from "../labels/kubernetes-labels.ts";
import { extendedKey, LABEL_SOURCE, type Label, label } from "../labels/label.ts";
import { LabelFilter } from "../labels/label-filter.ts";
import type { LabelSet } from "../labels/label-set.ts";
import { reservedLabel, worldLabel } from "../labels/reserved-labels.ts";
import type { AnalysisSettings } from "./analysis-settings.ts";

/** Who serves the API. */
export interface ApiServers {
  readonly addresses: ReadonlySet<string>;
  /** Names of nodes that have one of the addresses. */
  readonly nodes: ReadonlySet<string>;
}

/** Of a node that serves the API: what its own pods see of it, by whatever address, as the host has one identity alone. */
export const HOST_SERVES_API = "host.kube-apiserver";

/**
 * Labels of identities, as one form of all policies has labels: keys with their sources, `k8s.app`, and `any.app` beside it for who
 * asks for no source. Ranges of addresses are asked by addresses, and have no labels here.
 */
export class EndpointLabels {
  readonly #settings: AnalysisSettings;
  readonly #filter: LabelFilter;
  readonly #apiServers: ApiServers;
  readonly #kept = new Map<string, boolean>();
  /** Pods of one template are alike. */
  readonly #ofPods = new Map<string, Labels>();

  constructor(settings: AnalysisSettings, apiServers: ApiServers) {
    this.#settings = settings;
    this.#filter = new LabelFilter(settings.labelPatterns);
    this.#apiServers = apiServers;
  }

  of({ pod, node = "", nodeLabels, address }: PolicyEndpoint): Labels {
    if (pod !== undefined) return this.#ofPod(pod);
    const api = this.#apiServers.addresses.has(formatIp(address))
      ? [reservedLabel("kube-apiserver")]
      : [];
    if (nodeLabels === undefined) {
      return asLabels([worldLabel(familyOf(address), this.#settings.dualStack), ...api]);
    }
    // To the pods on it a node is the host: see PeerTerms.
    const own = this.#settings.nodeSelectorLabels
      ? Object.entries(nodeLabels).map(([key, value]) => label(LABEL_SOURCE.node, key, value))
      : [];
    return {
      ...asLabels([...own, reservedLabel("remote-node"), ...api]),
      ...(this.#apiServers.nodes.has(node) && { [HOST_SERVES_API]: "" }),
    };
  }

  /** Whether a label of a node can be asked for by policies for nodes (pkg/endpointmanager/host.go). */
  isKeptOfNode(key: string): boolean {
    return this.#isKept(label(LABEL_SOURCE.k8s, key));
  }

  #ofPod(pod: NonNullable<PolicyEndpoint["pod"]>): Labels {
    const { namespace, namespaceLabels, labels, serviceAccount } = pod;
    const key = JSON.stringify([namespace, serviceAccount, namespaceLabels, labels]);
    let found = this.#ofPods.get(key);
    if (found === undefined) {
      found = asLabels(this.identityOf(pod));
      this.#ofPods.set(key, found);
    }
    return found;
  }

  /** Labels of a pod's identity. */
  identityOf({
    namespace,
    namespaceLabels,
    labels,
    serviceAccount = "",
  }: NonNullable<PolicyEndpoint["pod"]>): LabelSet {
    const cluster = this.#settings.clusterName;
    const all = podLabels({ namespace, namespaceLabels, labels, serviceAccount, cluster });
    return all.filter((each) => this.#isKept(each));
  }

  #isKept(each: Label): boolean {
    const key = extendedKey(each);
    let kept = this.#kept.get(key);
    if (kept === undefined) {
      kept = this.#filter.isKept(each);
      this.#kept.set(key, kept);
    }
    return kept;
  }
}

/** With keys as {@link EndpointLabels} has them. */
export function asLabels(labels: readonly Label[]): Labels {
  return Object.fromEntries(
    labels.flatMap((each) => [
      [extendedKey(each), each.value],
      [`${LABEL_SOURCE.any}.${each.key}`, each.value],
    ]),
  );
}
