import { type Namespace, type Node, objectKey, type Pod } from "@cnilab/core";
import type { CiliumIdentity } from "../../api/v2/identity.ts";
import type { IdentityBackend } from "../../identity/global-identities.ts";
import { KnownIdentities } from "../../identity/known-identities.ts";
import type { IdentityRange } from "../../identity/numeric-identity.ts";
import { DEFAULT_SERVICE_ACCOUNT, podLabels } from "../../labels/kubernetes-labels.ts";
import { LABEL_SOURCE, label } from "../../labels/label.ts";
import type { LabelFilter } from "../../labels/label-filter.ts";
import { type LabelSet, labelSet } from "../../labels/label-set.ts";
import { reservedLabel } from "../../labels/reserved-labels.ts";
import { type AgentWorld, watchLate } from "./agent-world.ts";

export interface IdentitySettings {
  readonly clusterName: string;
  readonly range: IdentityRange;
  readonly filter: LabelFilter;
  /** Until an endpoint whose labels have changed is somebody else (`identityChangeGracePeriod`). */
  readonly graceMs: number;
}

/** Whoever wants to know that labels of a pod, or of its namespace, are others. */
export type LabelListener = () => void;

const KIND = "CiliumIdentity.cilium.io";

/** CiliumIdentity objects, and the labels that lead to them, watched once for all nodes of a cluster. */
export class ClusterIdentities {
  readonly world: AgentWorld;
  readonly settings: IdentitySettings;
  readonly known: KnownIdentities = new KnownIdentities();
  readonly #pods = new Map<string, Pod>();
  readonly #namespaces = new Map<string, Namespace>();
  readonly #nodes = new Map<string, Node>();
  readonly #ofPod = new Map<string, LabelListener>();
  readonly #ofNode = new Map<string, LabelListener>();
  /** Pods with listeners, by their namespaces. */
  readonly #byNamespace = new Map<string, Set<string>>();

  constructor(world: AgentWorld, settings: IdentitySettings) {
    this.world = world;
    this.settings = settings;
    watchLate(world, KIND, ({ type, object }) => {
      if (type === "DELETED") this.known.remove(object.metadata.name);
      else this.known.upsert(object);
    });
    watchLate(world, "Namespace", ({ type, object }) => {
      const { name } = object.metadata;
      const before = this.#namespaces.get(name);
      if (type === "DELETED") this.#namespaces.delete(name);
      else this.#namespaces.set(name, object);
      if (before === undefined || sameLabels(before, object)) return;
      for (const key of [...(this.#byNamespace.get(name) ?? [])]) this.#ofPod.get(key)?.();
    });
    watchLate(world, "Pod", ({ type, object }) => {
      const key = objectKey(object);
      const before = this.#pods.get(key);
      if (type === "DELETED") this.#pods.delete(key);
      else this.#pods.set(key, object);
      const isKnown = before !== undefined && before.metadata.uid === object.metadata.uid;
      if (type === "DELETED" || (isKnown && sameLabels(before, object))) return;
      this.#ofPod.get(key)?.();
    });
    watchLate(world, "Node", ({ type, object }) => {
      const { name } = object.metadata;
      const before = this.#nodes.get(name);
      if (type === "DELETED") this.#nodes.delete(name);
      else this.#nodes.set(name, object);
      if (before !== undefined && !sameLabels(before, object)) this.#ofNode.get(name)?.();
    });
  }

  /** What is heard of at once where no watch is late, even while others of this moment are being told. */
  backend(isCutOff: () => boolean): IdentityBackend {
    const { api, propagation } = this.world;
    return {
      create: (identity: CiliumIdentity) => {
        if (isCutOff() || api.get(KIND, identity.metadata.name) !== undefined) return false;
        const object = api.create<typeof KIND>(identity);
        if (propagation.of(KIND) === 0) this.known.upsert(object);
        return true;
      },
      update: (name, change) => {
        if (!isCutOff()) api.update(KIND, name, change);
      },
    };
  }

  /**
   * Labels that make the identity of a pod (pkg/k8s/watchers/pod.go, daemon/cmd/endpoint.go); those of an endpoint without labels while
   * nobody knows of the pod. The CNI plugin's call does not wait for the watch, but asks the API server.
   */
  labelsOfPod(key: string): LabelSet {
    const pod = this.#pods.get(key) ?? this.world.api.get("Pod", key);
    if (pod === undefined) return [reservedLabel("init")];
    const namespace = pod.metadata.namespace ?? "default";
    const { metadata } =
      this.#namespaces.get(namespace) ?? this.world.api.get("Namespace", namespace) ?? {};
    const { clusterName, filter } = this.settings;
    const all = podLabels({
      namespace,
      labels: pod.metadata.labels ?? {},
      namespaceLabels: metadata?.labels ?? {},
      serviceAccount: pod.spec.serviceAccountName ?? DEFAULT_SERVICE_ACCOUNT,
      cluster: clusterName,
    });
    return filter.filter(all).identity;
  }

  /** Of the endpoint that stands for a node (pkg/endpoint InitWithNodeLabels). */
  labelsOfHost(name: string): LabelSet {
    const node = this.#nodes.get(name) ?? this.world.api.get("Node", name);
    const own = Object.entries(node?.metadata.labels ?? {}).map(([key, value]) =>
      label(LABEL_SOURCE.k8s, key, value),
    );
    const { identity } = this.settings.filter.filter(labelSet(own));
    return labelSet([...identity, reservedLabel("host")]);
  }

  /** @param key `namespace/name`. @returns what ends it */
  followPod(key: string, listener: LabelListener): () => void {
    this.#ofPod.set(key, listener);
    const namespace = key.slice(0, key.indexOf("/"));
    const pods = this.#byNamespace.get(namespace) ?? new Set();
    this.#byNamespace.set(namespace, pods.add(key));
    return () => {
      // A pod of the same name may have come to another node.
      if (this.#ofPod.get(key) !== listener) return;
      this.#ofPod.delete(key);
      pods.delete(key);
      if (pods.size === 0 && this.#byNamespace.get(namespace) === pods) {
        this.#byNamespace.delete(namespace);
      }
    };
  }

  followNode(name: string, listener: LabelListener): () => void {
    this.#ofNode.set(name, listener);
    return () => {
      if (this.#ofNode.get(name) === listener) this.#ofNode.delete(name);
    };
  }
}

function sameLabels(x: Pod | Namespace | Node, y: Pod | Namespace | Node): boolean {
  const [a, b] = [x.metadata.labels ?? {}, y.metadata.labels ?? {}];
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}
