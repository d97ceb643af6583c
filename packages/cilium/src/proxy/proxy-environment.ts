import type { Random } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { AccessLogMessage } from "../hubble/access-log-message.ts";
import type { NumericIdentity } from "../identity/numeric-identity.ts";
import type { ProxyNetworkPolicy } from "./http/network-policy.ts";

/** An endpoint of the node, as proxies know it. */
export interface ProxiedEndpoint {
  readonly id: number;
  readonly identity: NumericIdentity;
  readonly isHost: boolean;
  /** `namespace/name` of its pod. */
  readonly podKey: string | undefined;
}

/** Who talks to whom: the ends of a connection as it was asked for. */
export interface ProxiedEnds {
  readonly protocol: number;
  readonly client: IpAddress;
  readonly clientPort: number;
  readonly server: IpAddress;
  readonly serverPort: number;
}

/** What a node's proxies have around them: its network, and what its agent has put into maps. */
export interface ProxyEnvironment {
  readonly nodeName: string;
  /** The node's own. */
  readonly netns: NetNamespace;
  readonly random: Random;
  endpointAt(address: IpAddress): ProxiedEndpoint | undefined;
  /** By the ipcache; the world's where it has nothing. */
  identityOf(address: IpAddress): NumericIdentity;
  /** Of who asks: as its connection is tracked, else by its address. */
  sourceIdentity(ends: ProxiedEnds, ingress: boolean): NumericIdentity;
  /** `undefined` for an endpoint whose policy the proxies do not have. */
  policyOf(endpointId: number): ProxyNetworkPolicy | undefined;
  log(message: AccessLogMessage): void;
}
