// What runs on the nodes, for those who look into it or break it.
export { ipcacheKeyOf } from "../datapath/maps/ipcache-map.ts";
export { CiliumAgent } from "./cilium-agent.ts";
export { Propagation } from "./identity/agent-world.ts";
export { IdentityPart } from "./identity/identity-part.ts";
export { ClusterSecurity } from "./policy/cluster-security.ts";
export type { PolicyStatus } from "./policy/endpoint-policies.ts";
export { PolicyPart } from "./policy/policy-part.ts";
