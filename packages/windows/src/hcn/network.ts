// Host Compute Network API, schema 2.0 (Microsoft/hcsshim hcn/hcnnetwork.go, hcnpolicy.go). Names are the JSON's.

/** `L2Bridge`: containers share the node's network and its MAC. `Overlay`: VXLAN between nodes. */
export type HcnNetworkType = "L2Bridge" | "Overlay";

export interface HcnRoute {
  readonly NextHop: string;
  readonly DestinationPrefix: string;
}

export interface HcnSubnet {
  readonly IpAddressPrefix: string;
  /** The first is the gateway of the network's endpoints. */
  readonly Routes: readonly HcnRoute[];
  readonly Policies?: readonly {
    readonly Type: "VSID";
    readonly Settings: { readonly IsolationId: number };
  }[];
}

/** Where another node's containers of an overlay network are. */
export interface RemoteSubnetRoute {
  readonly DestinationPrefix: string;
  /** VNI. */
  readonly IsolationId: number;
  readonly ProviderAddress: string;
  readonly DistributedRouterMacAddress: string;
}

export type HcnNetworkPolicy =
  | { readonly Type: "NetAdapterName"; readonly Settings: { readonly NetworkAdapterName: string } }
  | { readonly Type: "ProviderAddress"; readonly Settings: { readonly ProviderAddress: string } }
  | { readonly Type: "DrMacAddress"; readonly Settings: { readonly Address: string } }
  | { readonly Type: "RemoteSubnetRoute"; readonly Settings: RemoteSubnetRoute }
  /** The host reaches its own containers. */
  | { readonly Type: "HostRoute"; readonly Settings: Readonly<Record<string, never>> };

export interface HcnNetworkSettings {
  readonly Name: string;
  readonly Type: HcnNetworkType;
  readonly Ipams: readonly {
    readonly Type: "Static";
    readonly Subnets: readonly HcnSubnet[];
  }[];
  readonly Policies?: readonly HcnNetworkPolicy[];
}

/** `HostComputeNetwork`, as HNS answers with it. */
export interface HostComputeNetwork extends HcnNetworkSettings {
  readonly ID: string;
  readonly Policies: readonly HcnNetworkPolicy[];
}
