// Host Compute Network API, schema 2.0 (Microsoft/hcsshim hcn/hcnendpoint.go, hcnpolicy.go). Names are the JSON's.

import type { HcnRoute } from "./network.ts";

/** An endpoint of another node. */
export const EndpointFlagsRemoteEndpoint = 1;

export type HcnEndpointPolicy =
  /** What leaves the network gets the node's address; not what goes to the exceptions, or only what goes to the destinations. */
  | {
      readonly Type: "OutBoundNAT";
      readonly Settings: {
        readonly Exceptions?: readonly string[];
        readonly Destinations?: readonly string[];
      };
    }
  | {
      readonly Type: "SDNRoute";
      readonly Settings: { readonly DestinationPrefix: string; readonly NeedEncap: boolean };
    }
  | { readonly Type: "ProviderAddress"; readonly Settings: { readonly ProviderAddress: string } }
  /** A port of the node for a port of the endpoint. */
  | {
      readonly Type: "PortMapping";
      readonly Settings: {
        readonly InternalPort: number;
        readonly ExternalPort: number;
        /** IP protocol number. */
        readonly Protocol: number;
        /** An address of the node; empty for all. */
        readonly VIP: string;
      };
    }
  | {
      readonly Type: "ACL";
      readonly Settings: {
        readonly Action: "Allow" | "Block";
        readonly Direction: "In" | "Out";
        /** Protocol numbers with commas between them; absent for all. */
        readonly Protocols?: string;
        readonly LocalPorts?: string;
        readonly RemoteAddresses?: string;
        readonly RemotePorts?: string;
        readonly Priority: number;
      };
    };

export interface HcnEndpointSettings {
  readonly Name?: string;
  readonly IpConfigurations: readonly { readonly IpAddress: string }[];
  /** As `00-15-5d-01-02-03`; made up where it is absent. */
  readonly MacAddress?: string;
  readonly Routes?: readonly HcnRoute[];
  readonly Policies?: readonly HcnEndpointPolicy[];
  readonly Flags?: number;
}

/** `HostComputeEndpoint`, as HNS answers with it. */
export interface HostComputeEndpoint extends HcnEndpointSettings {
  readonly ID: string;
  readonly Name: string;
  /** GUID. */
  readonly HostComputeNetwork: string;
  /** Compartment that it is attached to; empty while it is not. */
  readonly HostComputeNamespace: string;
  readonly MacAddress: string;
  readonly Routes: readonly HcnRoute[];
  readonly Policies: readonly HcnEndpointPolicy[];
  readonly Flags: number;
}

export function isRemote({ Flags }: HostComputeEndpoint): boolean {
  return (Flags & EndpointFlagsRemoteEndpoint) !== 0;
}
