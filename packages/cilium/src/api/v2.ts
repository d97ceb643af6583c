// cilium.io/v2, as pkg/k8s/apis/cilium.io of the release spells it; CiliumPodIPPool is of v2alpha1.
export type * from "./v2/endpoint.ts";
export type * from "./v2/identity.ts";
export type * from "./v2/network-policy.ts";
export type * from "./v2/node.ts";
export type * from "./v2/pod-ip-pool.ts";
export type * from "./v2/rule.ts";
