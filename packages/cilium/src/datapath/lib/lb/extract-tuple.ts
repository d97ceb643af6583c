import type { TcContext } from "@cnilab/linux";
import { IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import type { CtTuple } from "../../maps/conntrack-map.ts";
import type { BpfObject } from "../bpf-object.ts";
import { DROP_UNKNOWN_L4, DROP_UNSUPP_SERVICE_PROTO } from "../drop-reason.ts";
import { loadL4Ports } from "../ipfrag.ts";

/** `lb_is_svc_proto`: what services are of. */
export function isServiceProtocol({ config }: BpfObject, protocol: number): boolean {
  return (
    protocol === IPPROTO_TCP ||
    protocol === IPPROTO_UDP ||
    (protocol === IPPROTO_SCTP && config.sctp)
  );
}

/**
 * Ports of a packet that may be for a service, into its tuple (`lb4_extract_tuple`, `lb6_extract_tuple`). As everywhere they
 * are in each other's place there.
 * @returns 0, or a reason to drop: `DROP_UNSUPP_SERVICE_PROTO` and `DROP_UNKNOWN_L4` say that it is for none
 */
export function lbExtractTuple(ctx: TcContext, obj: BpfObject, tuple: CtTuple): number {
  const { ip } = ctx;
  if (!isServiceProtocol(obj, tuple.nexthdr)) {
    const icmp = ip.version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    return tuple.nexthdr === icmp ? DROP_UNSUPP_SERVICE_PROTO : DROP_UNKNOWN_L4;
  }
  const ports = loadL4Ports(ctx, obj, ip, false);
  if (typeof ports === "number") return ports;
  tuple.dport = ports.sport;
  tuple.sport = ports.dport;
  return 0;
}
