import {
  FragmentPayload,
  hashIp,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  type IpPacket,
  isIcmpError,
  NEXTHDR_FRAGMENT,
  QuotedPacket,
} from "@cnilab/net";
import { dstPortOf, srcPortOf } from "../ip/transport.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Flow } from "./fib-rule.ts";

/** What is hashed. Who sends and who receives makes no difference (`__flow_hash_consistentify`). */
interface FlowKeys extends Pick<Flow, "src" | "dst" | "protocol" | "srcPort" | "dstPort"> {
  readonly flowLabel: number;
}

/**
 * What picks the nexthop (`fib_multipath_hash`, `rt6_multipath_hash`): by policy 0 the addresses, for IPv6
 * with protocol and flow label, by policy 1 also protocol and ports, so that connections of one client spread.
 * The hash is keyed at boot: which flow goes where is arbitrary, but always the same.
 */
export function multipathHash(netns: NetNamespace, flow: Flow): number {
  const family = typeof flow.dst === "number" ? 4 : 6;
  const byPorts = netns.sysctl.get(`net/ipv${family}/fib_multipath_hash_policy`) === 1;
  const keys = keysOf(flow, byPorts);
  let hash = hashIp(keys.dst) ^ (keys.src === undefined ? 0 : hashIp(keys.src));
  hash ^= netns.kernel.hashSeed;
  if (family === 6) hash ^= Math.imul(keys.protocol, 0xc2b2ae35) ^ keys.flowLabel;
  if (byPorts) {
    const { protocol, srcPort, dstPort } = keys;
    for (const word of [protocol, Math.min(srcPort, dstPort), Math.max(srcPort, dstPort)]) {
      hash = Math.imul(hash ^ word ^ (hash >>> 15), 0x85ebca6b);
    }
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x9e3779b1);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function keysOf(flow: Flow, byPorts: boolean): FlowKeys {
  const { packet } = flow;
  // The label of this machine's own packets is made once they are routed.
  if (packet === undefined) return { ...flow, flowLabel: 0 };
  if (byPorts) return keysOfPacket(packet, packet.protocol);
  const key = quotedIn(packet) ?? packet;
  // ip6_multipath_l3_keys looks at the header only, which names that of the fragment.
  return keysOfPacket(key, key.version === 6 && key.isFragment ? NEXTHDR_FRAGMENT : key.protocol);
}

function keysOfPacket(packet: IpPacket, protocol: number): FlowKeys {
  const { src, dst, flowLabel } = packet;
  return { src, dst, protocol, srcPort: srcPortOf(packet), dstPort: dstPortOf(packet), flowLabel };
}

/**
 * The packet that an ICMP error is about, so that errors go the way of their flow. IPv6 looks for the error right behind the
 * header, where a fragment has none (`ip_multipath_l3_keys`, `ip6_multipath_l3_keys`).
 */
function quotedIn(packet: IpPacket): IpPacket | undefined {
  const { version, protocol, payload } = packet;
  if (protocol !== (version === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) return undefined;
  if (packet.fragmentOffset !== 0 || (version === 6 && packet.isFragment)) return undefined;
  const message = payload instanceof FragmentPayload ? payload.whole.payload : payload;
  if (!(message instanceof IcmpMessage) || !isIcmpError(version, message.type)) return undefined;
  return message.payload instanceof QuotedPacket ? message.payload.packet : undefined;
}
