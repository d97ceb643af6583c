import {
  type ClusterNetworkPolicy,
  type EndpointSlice,
  type KubeObject,
  type NetworkPolicy as KubernetesNetworkPolicy,
  kindOf,
  objectKey,
  type Pod,
} from "@cnilab/core";
import type { HostEndpoint } from "../api/v3/host-endpoint.ts";
import type { GlobalNetworkPolicy, NetworkPolicy } from "../api/v3/network-policy.ts";
import type { GlobalNetworkSet, NetworkSet } from "../api/v3/network-set.ts";
import type { Profile } from "../api/v3/profile.ts";
import type {
  StagedGlobalNetworkPolicy,
  StagedKubernetesNetworkPolicy,
  StagedNetworkPolicy,
} from "../api/v3/staged-network-policy.ts";
import type { Tier } from "../api/v3/tier.ts";
import { convertClusterNetworkPolicy } from "../conversion/cluster-network-policy.ts";
import { NAMESPACE_PROFILE_PREFIX } from "../conversion/labels.ts";
import type { ModelPolicy, WorkloadEndpointKey } from "../conversion/model.ts";
import {
  modelHostEndpoint,
  modelWorkloadEndpoint,
  workloadEndpointKey,
} from "../conversion/model-endpoints.ts";
import {
  modelGlobalNetworkPolicy,
  modelNetworkPolicy,
  modelStagedGlobalNetworkPolicy,
  modelStagedKubernetesNetworkPolicy,
  modelStagedNetworkPolicy,
} from "../conversion/model-policies.ts";
import {
  modelGlobalNetworkSet,
  modelNetworkSet,
  modelProfile,
  modelTier,
} from "../conversion/model-sets.ts";
import { convertNetworkPolicy } from "../conversion/network-policy.ts";
import {
  namespaceProfile,
  serviceAccountProfile,
  serviceAccountProfileName,
} from "../conversion/profiles.ts";
import {
  hasWorkloadEndpoint,
  PodConversionError,
  workloadEndpointOf,
} from "../conversion/workload-endpoint.ts";
import { SelectorError } from "../selector/selector-error.ts";
import type { CalcGraph } from "./calc-graph.ts";
import type { PolicyId, PolicyKind } from "./messages.ts";

/** Kinds that the calculation graph works on, by their names in the API store. */
export const CALC_KINDS = [
  "ClusterNetworkPolicy",
  "EndpointSlice",
  "GlobalNetworkPolicy.projectcalico.org",
  "GlobalNetworkSet.projectcalico.org",
  "HostEndpoint.projectcalico.org",
  "Namespace",
  "NetworkPolicy",
  "NetworkPolicy.projectcalico.org",
  "NetworkSet.projectcalico.org",
  "Pod",
  "Profile.projectcalico.org",
  "ServiceAccount",
  "StagedGlobalNetworkPolicy.projectcalico.org",
  "StagedKubernetesNetworkPolicy.projectcalico.org",
  "StagedNetworkPolicy.projectcalico.org",
  "Tier.projectcalico.org",
] as const;

/** What the API server does to objects before Felix sees them. */
export interface CalcObjectsOptions {
  /**
   * A pod without a service account has its namespace's `default`, as admission fills in, and a service account that a pod names is there, though nobody made
   * it: without labels. In a real cluster a controller makes `default`, and admission refuses a pod that names no account there is.
   */
  readonly impliedServiceAccounts?: boolean;
}

/**
 * Feeds a {@link CalcGraph} with objects as the API server has them. An object that Felix cannot use counts as not there, as its validation filter
 * has it (`felix/calc/validation_filter.go`), and is one of the {@link problems}.
 */
export class CalcObjects {
  /** By `Kind key`: why an object is not used. */
  readonly problems: Map<string, string> = new Map();
  readonly #graph: CalcGraph;
  readonly #options: CalcObjectsOptions;
  /** Pods that have an endpoint in the graph, and its key there. */
  readonly #pods = new Map<string, { readonly pod: Pod; readonly key: WorkloadEndpointKey }>();
  /** By the names of their profiles. */
  readonly #accounts = new Map<string, { object: KubeObject | undefined; pods: number }>();

  constructor(graph: CalcGraph, options: CalcObjectsOptions = {}) {
    this.#graph = graph;
    this.#options = options;
  }

  /** An object that is new, or another now. Kinds of no concern are passed over. */
  update(object: KubeObject): void {
    const name = `${kindOf(object)} ${objectKey(object)}`;
    try {
      this.#set(object, true);
      this.problems.delete(name);
    } catch (error) {
      const known =
        error instanceof SelectorError ||
        error instanceof RangeError ||
        error instanceof PodConversionError;
      if (!known) throw error;
      this.#set(object, false);
      this.problems.set(name, error.message);
    }
  }

  /** An object that is gone. */
  delete(object: KubeObject): void {
    this.#set(object, false);
    this.problems.delete(`${kindOf(object)} ${objectKey(object)}`);
  }

  #set(object: KubeObject, there: boolean): void {
    const graph = this.#graph;
    const { name } = object.metadata;
    // The group, and not the alias under which the store keeps a kind, tells NetworkPolicy from NetworkPolicy.
    const kind: string = kindOf(object);
    switch (kind) {
      case "Pod":
        this.#setPod(object as Pod, there);
        break;
      case "Namespace":
        graph.setProfile(
          NAMESPACE_PROFILE_PREFIX + name,
          there ? modelProfile(namespaceProfile(object)) : undefined,
        );
        break;
      case "ServiceAccount":
        this.#setAccount(
          serviceAccountProfileName(object.metadata.namespace, name),
          there ? object : undefined,
        );
        break;
      case "EndpointSlice":
        graph.setEndpointSlice(objectKey(object), there ? (object as EndpointSlice) : undefined);
        break;
      case "Profile.projectcalico.org":
        graph.setProfile(name, there ? modelProfile(object as Profile) : undefined);
        break;
      case "Tier.projectcalico.org":
        graph.setTier(name, there ? modelTier(object as Tier) : undefined);
        break;
      case "NetworkSet.projectcalico.org":
        graph.setNetworkSet(
          objectKey(object),
          there ? modelNetworkSet(object as NetworkSet) : undefined,
        );
        break;
      case "GlobalNetworkSet.projectcalico.org":
        graph.setNetworkSet(
          name,
          there ? modelGlobalNetworkSet(object as GlobalNetworkSet) : undefined,
        );
        break;
      case "HostEndpoint.projectcalico.org":
        graph.setHostEndpoint(name, there ? modelHostEndpoint(object as HostEndpoint) : undefined);
        break;
      default: {
        const policyKind = POLICY_KINDS[kind];
        if (policyKind !== undefined)
          graph.setPolicy(
            policyId(object, policyKind),
            there ? modelOf(object, policyKind) : undefined,
          );
      }
    }
  }

  #setPod(pod: Pod, there: boolean): void {
    const podKey = objectKey(pod);
    const before = this.#pods.get(podKey);
    if (there && before !== undefined && sameEndpoint(before.pod, pod)) return;
    const account = this.#accountOf(pod);
    const endpoint =
      there && hasWorkloadEndpoint(pod) ? workloadEndpointOf(pod, account) : undefined;
    const key = endpoint && workloadEndpointKey(endpoint);
    if (key === undefined || endpoint === undefined) this.#pods.delete(podKey);
    else {
      this.#pods.set(podKey, { pod, key });
      this.#countPod(pod, 1);
      this.#graph.setWorkloadEndpoint(key, modelWorkloadEndpoint(endpoint));
    }
    if (before === undefined) return;
    // A pod of the same name may be on another node now.
    if (before.key.hostname !== key?.hostname)
      this.#graph.setWorkloadEndpoint(before.key, undefined);
    this.#countPod(before.pod, -1);
  }

  #accountOf({ spec }: Pod): string | undefined {
    return (
      spec.serviceAccountName ??
      (this.#options.impliedServiceAccounts === true ? "default" : undefined)
    );
  }

  #countPod(pod: Pod, more: 1 | -1): void {
    const { name, namespace = "default" } = {
      name: this.#accountOf(pod),
      namespace: pod.metadata.namespace,
    };
    if (this.#options.impliedServiceAccounts !== true || name === undefined) return;
    const profile = serviceAccountProfileName(namespace, name);
    const account = this.#accounts.get(profile) ?? { object: undefined, pods: 0 };
    this.#accounts.set(profile, account);
    account.pods += more;
    if (account.object !== undefined) return;
    if (account.pods === 0) {
      this.#accounts.delete(profile);
      this.#graph.setProfile(profile, undefined);
    } else if (account.pods === 1 && more === 1) {
      this.#graph.setProfile(
        profile,
        modelProfile(serviceAccountProfile({ metadata: { name, namespace } })),
      );
    }
  }

  #setAccount(profile: string, object: KubeObject | undefined): void {
    const account = this.#accounts.get(profile) ?? { object: undefined, pods: 0 };
    const last = account.object;
    account.object = object;
    if (object !== undefined || account.pods > 0) this.#accounts.set(profile, account);
    else this.#accounts.delete(profile);
    // Pods still name it.
    const { name, namespace } = last?.metadata ?? {};
    const implied =
      account.pods > 0 && name !== undefined
        ? { metadata: { name, namespace: namespace ?? "default" } }
        : undefined;
    const given = object ?? implied;
    this.#graph.setProfile(profile, given && modelProfile(serviceAccountProfile(given)));
  }
}

/** Whether two versions of a pod make the same endpoint. Objects are immutable, so that what did not change is the same. */
function sameEndpoint(x: Pod, y: Pod): boolean {
  return (
    x.spec === y.spec &&
    x.metadata.uid === y.metadata.uid &&
    x.metadata.labels === y.metadata.labels &&
    x.metadata.annotations === y.metadata.annotations &&
    x.metadata.deletionTimestamp === y.metadata.deletionTimestamp &&
    x.status?.phase === y.status?.phase &&
    x.status?.podIP === y.status?.podIP &&
    x.status?.podIPs === y.status?.podIPs
  );
}

const POLICY_KINDS: Readonly<Record<string, PolicyKind>> = {
  NetworkPolicy: "KubernetesNetworkPolicy",
  ClusterNetworkPolicy: "KubernetesClusterNetworkPolicy",
  "NetworkPolicy.projectcalico.org": "NetworkPolicy",
  "GlobalNetworkPolicy.projectcalico.org": "GlobalNetworkPolicy",
  "StagedNetworkPolicy.projectcalico.org": "StagedNetworkPolicy",
  "StagedGlobalNetworkPolicy.projectcalico.org": "StagedGlobalNetworkPolicy",
  "StagedKubernetesNetworkPolicy.projectcalico.org": "StagedKubernetesNetworkPolicy",
};

function policyId({ metadata }: KubeObject, kind: PolicyKind): PolicyId {
  const { name, namespace } = metadata;
  const isGlobal =
    kind === "GlobalNetworkPolicy" ||
    kind === "StagedGlobalNetworkPolicy" ||
    kind === "KubernetesClusterNetworkPolicy";
  return isGlobal ? { name, kind } : { name, namespace: namespace ?? "default", kind };
}

function modelOf(object: KubeObject, kind: PolicyKind): ModelPolicy | undefined {
  switch (kind) {
    case "KubernetesNetworkPolicy":
      return modelNetworkPolicy(convertNetworkPolicy(object as KubernetesNetworkPolicy).policy);
    case "KubernetesClusterNetworkPolicy": {
      const converted = convertClusterNetworkPolicy(object as ClusterNetworkPolicy);
      return converted && modelGlobalNetworkPolicy(converted.policy);
    }
    case "NetworkPolicy":
      return modelNetworkPolicy(object as NetworkPolicy);
    case "GlobalNetworkPolicy":
      return modelGlobalNetworkPolicy(object as GlobalNetworkPolicy);
    case "StagedNetworkPolicy":
      return modelStagedNetworkPolicy(object as StagedNetworkPolicy);
    case "StagedGlobalNetworkPolicy":
      return modelStagedGlobalNetworkPolicy(object as StagedGlobalNetworkPolicy);
    case "StagedKubernetesNetworkPolicy":
      return modelStagedKubernetesNetworkPolicy(object as StagedKubernetesNetworkPolicy);
  }
}
