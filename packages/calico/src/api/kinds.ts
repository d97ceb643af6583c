import type * as v3 from "./v3.ts";

/** Group and version of Calico's API (api/pkg/apis/projectcalico/v3/constants.go). */
export const GROUP = "projectcalico.org";
export const VERSION_CURRENT = "v3";

declare module "@cnilab/core" {
  interface Kinds {
    "BGPConfiguration.projectcalico.org": v3.BGPConfiguration;
    "BGPFilter.projectcalico.org": v3.BGPFilter;
    "BGPPeer.projectcalico.org": v3.BGPPeer;
    "BlockAffinity.projectcalico.org": v3.BlockAffinity;
    "CalicoNodeStatus.projectcalico.org": v3.CalicoNodeStatus;
    "ClusterInformation.projectcalico.org": v3.ClusterInformation;
    "FelixConfiguration.projectcalico.org": v3.FelixConfiguration;
    "GlobalNetworkPolicy.projectcalico.org": v3.GlobalNetworkPolicy;
    "GlobalNetworkSet.projectcalico.org": v3.GlobalNetworkSet;
    "HostEndpoint.projectcalico.org": v3.HostEndpoint;
    "IPAMBlock.projectcalico.org": v3.IPAMBlock;
    "IPAMConfiguration.projectcalico.org": v3.IPAMConfiguration;
    "IPAMHandle.projectcalico.org": v3.IPAMHandle;
    "IPPool.projectcalico.org": v3.IPPool;
    "IPReservation.projectcalico.org": v3.IPReservation;
    "KubeControllersConfiguration.projectcalico.org": v3.KubeControllersConfiguration;
    "NetworkPolicy.projectcalico.org": v3.NetworkPolicy;
    "NetworkSet.projectcalico.org": v3.NetworkSet;
    "Profile.projectcalico.org": v3.Profile;
    "StagedGlobalNetworkPolicy.projectcalico.org": v3.StagedGlobalNetworkPolicy;
    "StagedKubernetesNetworkPolicy.projectcalico.org": v3.StagedKubernetesNetworkPolicy;
    "StagedNetworkPolicy.projectcalico.org": v3.StagedNetworkPolicy;
    "Tier.projectcalico.org": v3.Tier;
  }
}
