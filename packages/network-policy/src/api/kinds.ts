import type { AdminNetworkPolicy, BaselineAdminNetworkPolicy } from "./admin-network-policy.ts";
import type { ClusterNetworkPolicy } from "./cluster-network-policy.ts";

declare module "@cnilab/core" {
  interface Kinds {
    AdminNetworkPolicy: AdminNetworkPolicy;
    BaselineAdminNetworkPolicy: BaselineAdminNetworkPolicy;
    ClusterNetworkPolicy: ClusterNetworkPolicy;
  }
}
