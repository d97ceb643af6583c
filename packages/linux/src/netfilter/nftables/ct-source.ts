import {
  type ConntrackEntry,
  directionOf,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IP_CT_UNTRACKED,
} from "../conntrack-entry.ts";
import type { CtKey } from "./packet-key.ts";
import { type Source, writeAddress } from "./source.ts";
import type { Walk } from "./walk.ts";

const NF_CT_STATE_INVALID_BIT = 1;
const NF_CT_STATE_UNTRACKED_BIT = 64;

/** `ct state`: one bit (include/uapi/linux/netfilter/nf_conntrack_common.h NF_CT_STATE_BIT). */
export function ctState({ skb }: Walk): number {
  // Both directions of a connection have the same bit.
  if (skb.ct !== undefined) return 1 << ((skb.ctInfo % 3) + 1);
  return skb.ctInfo === IP_CT_UNTRACKED ? NF_CT_STATE_UNTRACKED_BIT : NF_CT_STATE_INVALID_BIT;
}

/** Something about a packet's connection (net/netfilter/nft_ct.c nft_ct_get_eval). */
export class CtSource implements Source {
  readonly words: number;
  readonly #key: CtKey;
  readonly #direction: "original" | "reply" | undefined;

  constructor(key: CtKey, direction: "original" | "reply" | undefined) {
    this.#key = key;
    this.#direction = direction;
    this.words = key.startsWith("ip6") ? 4 : 1;
  }

  load(walk: Walk, at: number): boolean {
    const { registers, skb } = walk;
    if (this.#key === "state") {
      registers[at] = ctState(walk);
      return true;
    }
    const { ct } = skb;
    if (ct === undefined) return false;
    switch (this.#key) {
      case "mark":
        registers[at] = ct.mark;
        return true;
      case "status":
        registers[at] = ct.status;
        return true;
      case "direction":
        registers[at] = directionOf(skb.ctInfo);
        return true;
      case "zone":
        registers[at] = ct.zone;
        return true;
      case "expiration":
        walk.netns.network.recording?.unrepeatable();
        registers[at] = ct.remainingMs;
        return true;
      case "id":
        // The kernel's identifiers are keyed hashes: arbitrary, but constant for a connection.
        registers[at] = Math.imul(ct.id, 0x9e3779b1) >>> 0;
        return true;
      default:
        return this.#loadTuple(ct, registers, at);
    }
  }

  #loadTuple(ct: ConntrackEntry, registers: Uint32Array, at: number): boolean {
    const tuple = ct.tuple(this.#direction === "reply" ? IP_CT_DIR_REPLY : IP_CT_DIR_ORIGINAL);
    switch (this.#key) {
      case "l3proto":
        registers[at] = ct.family === 4 ? 2 : 10;
        return true;
      case "protocol":
        registers[at] = tuple.protocol;
        return true;
      case "proto-src":
        registers[at] = tuple.srcPort;
        return true;
      case "proto-dst":
        registers[at] = tuple.dstPort;
        return true;
    }
    if ((ct.family === 6) !== (this.words === 4)) return false;
    writeAddress(this.#key.endsWith("saddr") ? tuple.src : tuple.dst, registers, at);
    return true;
  }
}
