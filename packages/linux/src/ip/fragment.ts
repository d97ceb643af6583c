import type { Timer } from "@cnilab/core";
import { FragmentPayload, type IpPacket } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";

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
  /** The first fragment's packet, whose header the whole will have. */
  first: IpPacket | undefined;
  /** Arrived byte ranges, ascending and apart. */
  ranges: [start: number, end: number][];
  /** Bytes in all; known once the last fragment is here. */
  total: number | undefined;
  /** Largest fragment, header included. */
  maxSize: number;
  timer: Timer;
}

export interface Reassembled {
  readonly packet: IpPacket;
  readonly fragments: number;
  /** Bytes of the largest fragment: the path's MTU is no smaller. */
  readonly maxSize: number;
}

/** Puts fragments together again (`ip_defrag`, `nf_ct_frag6_gather`). One per namespace and user. */
export class Reassembly {
  readonly #netns: NetNamespace;
  readonly #queues = new Map<string, Queue & { count: number }>();

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  /** The whole packet once `fragment` completes it. */
  add(fragment: IpPacket): Reassembled | undefined {
    const payload = fragment.payload;
    if (!(payload instanceof FragmentPayload)) return undefined;
    const { src, dst, id, protocol } = fragment;
    const key = `${src} ${dst} ${id} ${protocol}`;
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      const seconds = this.#netns.sysctl.get(
        fragment.version === 4 ? "net/ipv4/ipfrag_time" : "net/ipv6/ip6frag_time",
      );
      const timer = this.#netns.network.clock.schedule(
        seconds * 1000,
        () => this.#queues.delete(key),
        { background: true },
      );
      queue = { first: undefined, ranges: [], total: undefined, maxSize: 0, timer, count: 0 };
      this.#queues.set(key, queue);
    }
    queue.count++;
    const end = fragment.fragmentOffset + payload.length;
    if (fragment.fragmentOffset === 0) queue.first = fragment;
    if (!fragment.moreFragments) queue.total = end;
    queue.maxSize = Math.max(queue.maxSize, fragment.length);
    queue.ranges = merge(queue.ranges, fragment.fragmentOffset, end);
    const range = queue.ranges[0] as [number, number];
    if (queue.first === undefined || range[0] !== 0 || range[1] !== queue.total) return undefined;
    queue.timer.cancel();
    this.#queues.delete(key);
    const whole = (queue.first.payload as FragmentPayload).whole.payload;
    const packet = queue.first.withPayload(whole);
    packet.moreFragments = false;
    packet.fragmentOffset = 0;
    return { packet, fragments: queue.count, maxSize: queue.maxSize };
  }
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
