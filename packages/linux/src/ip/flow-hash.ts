import { hashIp } from "@cnilab/net";
import type { Skb } from "../skb.ts";
import { dstPortOf, srcPortOf } from "./transport.ts";

/**
 * What a hash was taken of. Each is another one for the same addresses and ports: a tunnel sends what a connection sends,
 * and what its machine answers in its name, from two ports.
 */
const DISSECTED = 0;
const SOCKET = 1;
const FLOW = 2;

/** Which flow a packet belongs to, 32 bits; kept on its whole way through this machine (`skb_get_hash`). */
export function flowHash(skb: Skb): number {
  skb.flowHash ??= hashOf(skb, DISSECTED);
  return skb.flowHash;
}

/** TCP's sockets give all that they send one hash (`skb_set_hash_from_sk`). */
export function setSocketHash(skb: Skb): void {
  skb.flowHash = hashOf(skb, SOCKET);
  if (skb.ip.version === 6) skb.ip.flowLabel = labelOf(skb.flowHash);
}

/** What else sends IPv6 takes a hash of what it is routed by, for the flow label (`ip6_make_flowlabel`). */
export function setLabelHash(skb: Skb): void {
  if (skb.ip.version !== 6) return;
  skb.flowHash = hashOf(skb, FLOW);
  skb.ip.flowLabel = labelOf(skb.flowHash);
}

/** 20 bits, not 0. The sysctl `auto_flowlabels` is taken for 1, its default. */
function labelOf(hash: number): number {
  return ((hash << 16) | (hash >>> 16)) & 0xfffff || 1;
}

function hashOf(skb: Skb, takenOf: number): number {
  if (!skb.isIp) return mix(Math.imul(skb.srcMac % 0x100000000, 0x9e3779b1));
  const { src, dst, protocol } = skb.ip;
  const addresses = Math.imul(hashIp(src) ^ (hashIp(dst) >>> 1) ^ protocol, 0x9e3779b1);
  const ports = Math.imul((srcPortOf(skb.ip) << 16) | dstPortOf(skb.ip), 0x85ebca6b);
  return mix(addresses ^ ports ^ Math.imul(takenOf, 0xc2b2ae35));
}

function mix(hash: number): number {
  return (hash ^ (hash >>> 15)) >>> 0;
}
