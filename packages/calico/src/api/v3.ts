// projectcalico.org/v3, as api/pkg/apis/projectcalico/v3 of the release spells it.
export type * from "./v3/bgp-configuration.ts";
export type * from "./v3/bgp-filter.ts";
export type * from "./v3/bgp-peer.ts";
export type * from "./v3/cluster-information.ts";
export type * from "./v3/felix-configuration.ts";
export type * from "./v3/host-endpoint.ts";
export type * from "./v3/ip-pool.ts";
export type * from "./v3/ip-reservation.ts";
export type * from "./v3/ipam.ts";
export type * from "./v3/kube-controllers-configuration.ts";
export type * from "./v3/network-policy.ts";
export type * from "./v3/network-set.ts";
export type * from "./v3/node-status.ts";
export type * from "./v3/profile.ts";
export type * from "./v3/rule.ts";
export type * from "./v3/staged-network-policy.ts";
export type * from "./v3/tier.ts";
