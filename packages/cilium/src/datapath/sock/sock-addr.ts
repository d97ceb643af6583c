import type { CgroupContext } from "@cnilab/linux";
import { IPPROTO_TCP, IPPROTO_UDP, type IpAddress, Ipv6Address } from "@cnilab/net";

const IPPROTO_UDPLITE = 136;

/** The address of a call as programs look at it, in the socket's own family or in that of an IPv4 address inside an IPv6 one. */
export interface SockAddr {
  readonly address: IpAddress;
  readonly port: number;
}

/** `ctx_in_hostns`: the program's socket is the node's own. */
export function inHostNs({ netns }: CgroupContext): boolean {
  return netns === netns.kernel.initNs;
}

/** `sock_proto_enabled` */
export function isSockProtocol(protocol: number): boolean {
  return protocol === IPPROTO_TCP || protocol === IPPROTO_UDP || protocol === IPPROTO_UDPLITE;
}

/** `is_v4_in_v6`: the IPv4 address in `::ffff:0:0/96` */
export function ipv4In(address: IpAddress): number | undefined {
  if (typeof address === "number") return undefined;
  const { a, b, c, d } = address;
  return a === 0 && b === 0 && c === 0xffff ? d : undefined;
}

/** `build_v4_in_v6` */
export function ipv6Around(address: number): Ipv6Address {
  return Ipv6Address.of(0, 0, 0xffff, address);
}
