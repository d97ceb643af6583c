import type { TcContext } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { EndpointInfo } from "../maps/endpoint-map.ts";
import { ipcacheKeyOf, type RemoteEndpointInfo } from "../maps/ipcache-map.ts";
import type { BpfObject } from "./bpf-object.ts";

/** `lookup_ip4_remote_endpoint`, `lookup_ip6_remote_endpoint` */
export function lookupRemoteEndpoint(
  ctx: TcContext,
  { maps }: BpfObject,
  address: IpAddress,
  clusterId = 0,
): RemoteEndpointInfo | undefined {
  return ctx.lookup(maps.ipcache, ipcacheKeyOf(address, clusterId));
}

/** `__lookup_ip4_endpoint`, `__lookup_ip6_endpoint`: one of this node's, or the node itself */
export function lookupEndpoint(
  ctx: TcContext,
  { maps }: BpfObject,
  address: IpAddress,
): EndpointInfo | undefined {
  return ctx.lookup(maps.endpoints, address);
}
