import type * as v2 from "./v2.ts";

/** Group of Cilium's API, and its versions (pkg/k8s/apis/cilium.io). */
export const GROUP = "cilium.io";
export const VERSION = "v2";
export const ALPHA_VERSION = "v2alpha1";

declare module "@cnilab/core" {
  interface Kinds {
    "CiliumCIDRGroup.cilium.io": v2.CiliumCIDRGroup;
    "CiliumClusterwideNetworkPolicy.cilium.io": v2.CiliumClusterwideNetworkPolicy;
    "CiliumEndpoint.cilium.io": v2.CiliumEndpoint;
    "CiliumIdentity.cilium.io": v2.CiliumIdentity;
    "CiliumNetworkPolicy.cilium.io": v2.CiliumNetworkPolicy;
    "CiliumNode.cilium.io": v2.CiliumNode;
    "CiliumPodIPPool.cilium.io": v2.CiliumPodIPPool;
  }
}
