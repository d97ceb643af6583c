import type { Timer } from "@cnilab/core";
import {
  FragmentPayload,
  ICMP_TIME_EXCEEDED,
  ICMPV6_TIME_EXCEED,
  type IpPacket,
} from "@cnilab/net";
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
  const header = packet.version === 4 ? 20 : 48;
  const step = (mtu - header) & ~7;
  const fragments: IpPacket[] = [];
  for (let offset = 0; offset < length; offset += step) {
    const size = Math.min(step, length - offset);
    const fragment = packet.withPayload(new FragmentPayload(whole, start + offset, size));
    fragment.fragmentOffset = start + offset;
    fragment.moreFragments = offset + size < length || packet.moreFragments;
    fragments.push(fragment);
  }
  return fragments;
}

/** Fragments of one packet that have arrived. */
interface Queue {
  /** The one that arrived first of all. */
  readonly opener: Skb;
  /** The one at offset 0, whose header the whole will have. */
  first: Skb | undefined;
  count: number;
  /** Arrived byte ranges, ascending and apart. */
  ranges: [start: number, end: number][];
  /** Bytes in all; known once the last fragment is here. */
  total: number | undefined;
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

  /** The whole packet once the fragment `skb` completes it. */
  add(skb: Skb): Reassembled | undefined {
    const fragment = skb.ip;
    const payload = fragment.payload;
    if (!(payload instanceof FragmentPayload)) return undefined;
    const { src, dst, id, protocol } = fragment;
    const key = `${src} ${dst} ${id} ${protocol}`;
    const queue = this.#queues.get(key) ?? this.#open(key, skb);
    queue.count++;
    const end = fragment.fragmentOffset + payload.length;
    if (fragment.fragmentOffset === 0) queue.first = skb;
    if (!fragment.moreFragments) queue.total = end;
    queue.maxSize = Math.max(queue.maxSize, fragment.length);
    queue.ranges = merge(queue.ranges, fragment.fragmentOffset, end);
    const range = queue.ranges[0] as [number, number];
    if (queue.first === undefined || range[0] !== 0 || range[1] !== queue.total) return undefined;
    queue.timer.cancel();
    this.#queues.delete(key);
    const header = queue.first.ip;
    const packet = header.withPayload((header.payload as FragmentPayload).whole.payload);
    packet.moreFragments = false;
    packet.fragmentOffset = 0;
    return { packet, fragments: queue.count, maxSize: queue.maxSize };
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
      total: undefined,
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

/** ICMP_EXC_FRAGTIME and ICMPV6_EXC_FRAGTIME. */
const EXC_FRAGTIME = 1;

/** Whether a packet is for this machine, as opposed to one that conntrack put together on the way. */
function isForHere({ dev, mark, ip }: Skb): boolean {
  if (dev === undefined) return false;
  const result = routeInput(dev, ip.src, ip.dst, ip.tos, mark, ip.protocol, 0, 0);
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
