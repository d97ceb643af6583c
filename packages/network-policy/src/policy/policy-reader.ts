import type { CniOptionValues, Kind, KubeObject } from "@cnilab/core";
import { DEFAULT_SETTINGS, type PolicySettings } from "./match.ts";
import type { Policy } from "./policy.ts";
import type { PolicyEndpoint } from "./policy-endpoint.ts";
import { readPolicies } from "./read-policies.ts";

/** What a label of a CNI's own says of a pod. */
export type PodLabel =
  | { readonly of: "pod" | "namespace"; readonly key: string }
  | { readonly of: "namespace name" }
  /** All pods of the cluster have it, with this value. */
  | { readonly of: "cluster"; readonly value: string };

/** What a CNI makes of some objects. */
export interface PolicyView {
  /** In the order in which they are asked. */
  readonly policies: readonly Policy[];
  readonly settings: PolicySettings;
  /** An endpoint with all that selectors of these policies look at. */
  readonly endpoint: (plain: PolicyEndpoint) => PolicyEndpoint;
  /** What keys of the labels say that it gives to pods; `undefined` for those that pods never have. Absent: it gives none. */
  readonly podLabel?: (key: string) => PodLabel | undefined;
  /** Policies that it sees and does not enforce, each with the reason. */
  readonly ignored: readonly { readonly object: KubeObject; readonly reason: string }[];
  /** What it enforces otherwise than the texts say, each with the difference. */
  readonly deviations?: readonly { readonly object: KubeObject; readonly reason: string }[];
}

/** How a CNI understands policies: its own kinds, and Kubernetes' ones in its own way. */
export interface PolicyReader {
  /** All that it looks at. */
  readonly kinds: readonly Kind[];
  read(objects: Iterable<KubeObject>): PolicyView;
  /** The same for a CNI that is set up so; absent where its options change nothing about policies. */
  withOptions?(options: CniOptionValues): PolicyReader;
}

declare module "@cnilab/core" {
  interface CniModel {
    /** How its policy engine understands policies; as their texts say where it is absent. */
    readonly policyReader?: PolicyReader;
  }
}

/** Kubernetes' own kinds, as their texts say. */
export const KUBERNETES_POLICIES: PolicyReader = {
  kinds: [
    "NetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
    "Namespace",
    "Node",
    "Pod",
  ],
  read: (objects) => ({
    policies: readPolicies(objects),
    settings: DEFAULT_SETTINGS,
    endpoint: (plain) => plain,
    ignored: [],
  }),
};

/** Manifests know no addresses of pods: ranges are about what is outside there. */
export function withoutPodAddresses(settings: PolicySettings): PolicySettings {
  return { ...settings, blocksMatchPods: false };
}
