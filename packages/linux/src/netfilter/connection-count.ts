import { IPPROTO_TCP } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { sameTuple } from "./conntrack/conntrack-tuple.ts";
import { TCP_CONNTRACK_CLOSE, TCP_CONNTRACK_TIME_WAIT } from "./conntrack/tcp-tracker.ts";
import type { ConntrackEntry } from "./conntrack-entry.ts";

/**
 * The connections that met one rule, by what the rule tells them apart (net/netfilter/nf_conncount.c). One
 * is counted from its first packet on, and no longer once it has ended, or is past its last data.
 */
export class ConnectionCount {
  readonly #connections: Map<string, ConntrackEntry[]> = new Map();

  /** Counts a packet's connection in. @returns how many there are with this key (`nf_conncount_count`) */
  add(netns: NetNamespace, key: string, ct: ConntrackEntry): number {
    const living = (this.#connections.get(key) ?? []).filter((known) => isOpen(netns, known));
    const isKnown = living.some(
      ({ original, zone }) => zone === ct.zone && sameTuple(original, ct.original),
    );
    if (!isKnown) living.push(ct);
    this.#connections.set(key, living);
    return living.length;
  }
}

function isOpen(netns: NetNamespace, counted: ConntrackEntry): boolean {
  const { table } = netns.conntrack ?? {};
  // What was counted may never have been confirmed; its twin may have been.
  const node = table?.findTuple(counted, 0) ?? -1;
  if (table === undefined || node < 0) return false;
  if (table.protocol(node >>> 1) !== IPPROTO_TCP) return true;
  const state = table.state(node >>> 1);
  return state !== TCP_CONNTRACK_TIME_WAIT && state !== TCP_CONNTRACK_CLOSE;
}
