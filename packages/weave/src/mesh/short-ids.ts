import type { Random } from "@cnilab/core";
import type { PeerName } from "./peer-name.ts";

/** Half of a tunnel's VNI: that is what it exists for. */
export type ShortId = number;

/** Of 12 bits. */
export const SHORT_IDS = 4096;
/** Tries at random before the free ones are counted. */
const TRIES = 10;

/** Who has which short id. Where several have one, it is that of the lowest name (mesh/peers.go). */
export class ShortIds {
  /** By name; an empty list was used in the past. */
  readonly #holders = new Map<ShortId, PeerName[]>();
  #used = 0;

  holder(id: ShortId): PeerName | undefined {
    return this.#holders.get(id)?.[0];
  }

  /** @returns whether the id stands for another peer than before */
  add(id: ShortId, peer: PeerName): boolean {
    const holders = this.#holders.get(id);
    if (holders === undefined || holders.length === 0) {
      this.#holders.set(id, [peer]);
      this.#used++;
      return holders !== undefined;
    }
    const at = holders.findIndex((other) => peer < other);
    holders.splice(at < 0 ? holders.length : at, 0, peer);
    return at === 0;
  }

  /** @returns whether the id stands for another peer now */
  remove(id: ShortId, peer: PeerName): boolean {
    const holders = this.#holders.get(id) ?? [];
    const at = holders.indexOf(peer);
    if (at < 0) return false;
    holders.splice(at, 1);
    if (holders.length === 0) this.#used--;
    return at === 0 && holders.length > 0;
  }

  /** A free one at random; `undefined` where there is none. */
  choose(random: Random): ShortId | undefined {
    for (let i = 0; i < TRIES; i++) {
      const id = random.below(SHORT_IDS);
      if (this.holder(id) === undefined) return id;
    }
    const free = SHORT_IDS - this.#used;
    if (free === 0) return undefined;
    let skip = random.below(free);
    for (let id = 0; ; id++) {
      if (this.holder(id) === undefined && skip-- === 0) return id;
    }
  }
}
