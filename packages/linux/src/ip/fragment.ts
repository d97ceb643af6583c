import type { Timer } from "@cnilab/core";
import {
  FragmentPayload,
  ICMP_TIME_EXCEEDED,
  ICMPV6_TIME_EXCEED,
  type IpPacket,
} from "@cnilab/net";
import type { DropReason } from "../drop-reason.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { icmpSend } from "./icmp-error.ts";
import { routeInput } from "./route-input.ts";

/**
 * Cuts a packet into fragments of at most `mtu` bytes (`ip_do_fragment`, `ip6_fragment`). Fragments of
 * fragments keep counting from the start of the original.
 */
export function fragmentPacket(packet: IpPacket, mtu: number): IpPacket[] {
  const payload = packet.payload;
  const [whole, start, length] =
    payload instanceof FragmentPayload
      ? [payload.whole, payload.offset, payload.length]
      : [packet, 0, payload.length];
  const header = packet.headerLength + (packet.version === 6 && !packet.isFragment ? 8 : 0);
  const step = (mtu - header) & ~7;
  const fragments: IpPacket[] = [];
  for (let offset = 0; offset < length; offset += step) {
    const size = Math.min(step, length - offset);
    const fragment = packet.withPayload(new FragmentPayload(whole, start + offset, size));
    fragment.fragmentOffset = start + offset;
    if (offset > 0) fragment.options = packet.copiedOptions;
    fragment.moreFragments = offset + size < length || packet.moreFragments;
    fragments.push(fragment);
  }
  return fragments;
}

/** Who puts a packet together: each has queues of its own (`enum ip_defrag_users`; nf_conntrack_reasm.c's are others than reassembly.c's). */
export type DefragUser = "local delivery" | "conntrack in" | "conntrack out" | "ipvs";

/** Fragments of one packet that have arrived. */
interface Queue {
  /** The one that arrived first of all. */
  readonly opener: Skb;
  /** The one at offset 0, whose header the whole will have. */
  first: Skb | undefined;
  count: number;
  /** Arrived byte ranges, ascending and apart. */
  ranges: [start: number, end: number][];
  /** Where what has arrived ends (`inet_frag_queue.len`). */
  length: number;
  /** Whether the last fragment is here (`INET_FRAG_LAST_IN`): then `length` is that of the whole. */
  hasLast: boolean;
  /** One bit for each ECN field that fragments have had (`ip4_frag_ecn`). */
  ecn: number;
  /** Largest fragment, header included. */
  maxSize: number;
  readonly timer: Timer;
}

export interface Reassembled {
  readonly packet: IpPacket;
  readonly fragments: number;
  /** Bytes of the largest fragment: the path's MTU is no smaller. */
  readonly maxSize: number;
}

/** Puts fragments together again (`ip_defrag`, `nf_ct_frag6_gather`). One per namespace. */
export class Reassembly {
  readonly #netns: NetNamespace;
  readonly #queues = new Map<string, Queue>();

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  /** The whole packet once the fragment `skb` completes it. What does not fit what came before is dropped. */
  add(skb: Skb, user: DefragUser): Reassembled | undefined {
    const fragment = skb.ip;
    const payload = fragment.payload;
    if (!(payload instanceof FragmentPayload)) return undefined;
    const key = keyOf(fragment, user);
    const queue = this.#queues.get(key) ?? this.#open(key, skb);
    const start = fragment.fragmentOffset;
    const end = start + payload.length;
    if (start === end || !fitsLength(queue, end, fragment.moreFragments)) {
      // `nf_ct_frag6_queue` leaves the others alone, the rest gives the whole up.
      if (fragment.version === 4 || user === "local delivery") this.#discard(key, queue);
      this.#drop(skb, "FRAG_MISFIT", "it ends elsewhere than fragments before it say");
      return undefined;
    }
    queue.length = Math.max(queue.length, end);
    queue.hasLast ||= !fragment.moreFragments;
    // RFC 5722: duplicates are ignored, what overlaps spoils the whole (`inet_frag_queue_insert`).
    const overlapped = queue.ranges.find((range) => start < range[1] && range[0] < end);
    if (overlapped !== undefined) {
      const isDuplicate = overlapped[0] <= start && end <= overlapped[1];
      if (!isDuplicate) this.#discard(key, queue);
      if (isDuplicate) this.#drop(skb, "DUP_FRAG", "its bytes have come before");
      else this.#drop(skb, "FRAG_MISFIT", "it overlaps fragments before it");
      return undefined;
    }
    queue.count++;
    if (start === 0) queue.first = skb;
    queue.maxSize = Math.max(queue.maxSize, fragment.length);
    queue.ecn |= 1 << (fragment.tos & INET_ECN_MASK);
    queue.ranges = merge(queue.ranges, start, end);
    const range = queue.ranges[0] as [number, number];
    const isWhole = queue.hasLast && range[0] === 0 && range[1] === queue.length;
    if (queue.first === undefined || !isWhole) return undefined;
    this.#discard(key, queue);
    const ecn = ecnOfWhole(queue.ecn);
    if (ecn === undefined) {
      this.#drop(skb, "FRAG_MISFIT", "fragments disagree about ECN");
      return undefined;
    }
    const header = queue.first.ip;
    const packet = header.withPayload((header.payload as FragmentPayload).whole.payload);
    packet.moreFragments = false;
    packet.fragmentOffset = 0;
    packet.tos |= ecn;
    return { packet, fragments: queue.count, maxSize: queue.maxSize };
  }

  /** `inet_frag_kill` */
  #discard(key: string, queue: Queue): void {
    queue.timer.cancel();
    this.#queues.delete(key);
  }

  #drop(skb: Skb, reason: DropReason, detail: string): void {
    this.#netns.network.drop(skb, this.#netns, reason, skb.dev, detail);
  }

  #open(key: string, opener: Skb): Queue {
    const { sysctl, network } = this.#netns;
    const time = opener.ip.version === 4 ? "net/ipv4/ipfrag_time" : "net/ipv6/ip6frag_time";
    const expire = () => this.#expire(key);
    const timer = network.clock.schedule(sysctl.get(time) * 1000, expire, { background: true });
    const queue: Queue = {
      opener,
      first: undefined,
      count: 0,
      ranges: [],
      length: 0,
      hasLast: false,
      ecn: 0,
      maxSize: 0,
      timer,
    };
    this.#queues.set(key, queue);
    return queue;
  }

  /** Some of the fragments never came: the sender is told if the first one did (`ip_expire`). */
  #expire(key: string): void {
    const queue = this.#queues.get(key);
    if (queue === undefined) return;
    this.#queues.delete(key);
    const netns = this.#netns;
    const { first, opener, count } = queue;
    if (first !== undefined && (first.ip.version === 6 || isForHere(first))) {
      const type = first.ip.version === 4 ? ICMP_TIME_EXCEEDED : ICMPV6_TIME_EXCEED;
      icmpSend(first, netns, type, EXC_FRAGTIME);
    }
    const detail = `${count} fragments came, the rest did not`;
    netns.network.drop(first ?? opener, netns, "FRAG_REASM_TIMEOUT", opener.dev, detail);
    netns.network.run();
  }
}

/** Which packet it is a part of; IPv6 does not ask for the protocol (`struct frag_v4_compare_key`, `frag_v6_compare_key`). */
function keyOf({ version, src, dst, id, protocol }: IpPacket, user: DefragUser): string {
  return `${user} ${src} ${dst} ${id}${version === 4 ? ` ${protocol}` : ""}`;
}

/** Whether a fragment that ends there can be one of this packet (`ip_frag_queue`). */
function fitsLength(queue: Queue, end: number, moreFragments: boolean): boolean {
  if (moreFragments) return !queue.hasLast || end <= queue.length;
  return end === queue.length || (end > queue.length && !queue.hasLast);
}

const INET_ECN_MASK = 3;
const INET_ECN_CE = 3;

/** What the whole packet's ECN field gets besides, of fragments with these; `undefined` where they contradict (`ip_frag_ecn_table`). */
function ecnOfWhole(seen: number): number | undefined {
  const hasNotEct = (seen & 1) !== 0;
  if (hasNotEct && seen !== 1) return undefined;
  const hasCe = (seen & (1 << INET_ECN_CE)) !== 0;
  return hasCe && seen !== 1 << INET_ECN_CE ? INET_ECN_CE : 0;
}

/** ICMP_EXC_FRAGTIME and ICMPV6_EXC_FRAGTIME. */
const EXC_FRAGTIME = 1;

/** Whether a packet is for this machine, as opposed to one that conntrack put together on the way. */
function isForHere({ dev, mark, ip }: Skb): boolean {
  if (dev === undefined) return false;
  const result = routeInput(dev, ip.src, ip.dst, ip.tos, mark, ip.protocol, 0, 0, ip);
  return typeof result !== "string" && result.isLocal;
}

function merge(
  ranges: readonly [number, number][],
  start: number,
  end: number,
): [number, number][] {
  const merged: [number, number][] = [];
  for (const range of [...ranges, [start, end] as [number, number]].sort((x, y) => x[0] - y[0])) {
    const last = merged.at(-1);
    if (last !== undefined && range[0] <= last[1]) last[1] = Math.max(last[1], range[1]);
    else merged.push([range[0], range[1]]);
  }
  return merged;
}
