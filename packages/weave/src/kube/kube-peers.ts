import type { ApiClient, Node } from "@cnilab/core";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";

/**
 * Addresses of the other nodes, which weaver is started with (prog/kube-utils/main.go getKubePeers): the last internal IPv4 address of each,
 * else the last external one. The node itself is none, so the quorum that weave-kube asks for is counted without it.
 */
export function kubePeers(api: ApiClient, own: readonly IpAddress[]): string[] {
  const local = new Set(own.map(formatIp));
  return api
    .list("Node")
    .map(addressOf)
    .filter((address) => address !== undefined && !local.has(address)) as string[];
}

function addressOf({ status }: Node): string | undefined {
  const lastOf = (wanted: string) =>
    status?.addresses?.findLast(
      ({ type, address }) => type === wanted && typeof tryParseIp(address) === "number",
    )?.address;
  return lastOf("InternalIP") ?? lastOf("ExternalIP");
}
