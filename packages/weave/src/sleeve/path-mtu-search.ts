/** `MTUVerifyAttempts`. */
const ATTEMPTS = 8;
/** `MTUVerifyTimeout`, doubled with each attempt. */
const FIRST_TIMEOUT_MS = 10;
/** What every path is taken to carry. */
const LEAST_MTU = 552;

/** What to do next: try whether so many bytes get through, or take what is known by now. */
export type MtuStep =
  | { readonly kind: "test"; readonly mtu: number; readonly timeoutMs: number }
  | { readonly kind: "verified"; readonly mtu: number };

/**
 * Finds the largest packet that gets through to a peer: what the kernel believes to be right first, then halves of what is left
 * (router/sleeve.go searchMTU). Where a test got lost it is repeated, as loss alone says nothing of sizes.
 */
export class PathMtuSearch {
  #highestGood = 0;
  #lowestBad = 0;
  /** 0 while nothing is searched for. */
  #candidate = 0;
  #testsSent = 0;

  /** The kernel says that no more than this fits. `undefined` where a search is under way that asks for no more. */
  begin(mtu: number): MtuStep | undefined {
    if (this.#candidate !== 0 && mtu >= this.#candidate) return undefined;
    this.#highestGood = LEAST_MTU;
    this.#lowestBad = mtu + 1;
    return this.#test(mtu);
  }

  /** The peer says that a test arrived. `undefined` where it is an old one. */
  arrived(mtu: number): MtuStep | undefined {
    if (mtu !== this.#candidate) return undefined;
    this.#highestGood = mtu;
    return this.#narrow();
  }

  /** Nothing was heard of a test in time. */
  timedOut(): MtuStep {
    if (this.#testsSent < ATTEMPTS) return this.#again();
    this.#lowestBad = this.#candidate;
    return this.#narrow();
  }

  #narrow(): MtuStep {
    if (this.#highestGood + 1 < this.#lowestBad) {
      return this.#test(Math.floor((this.#highestGood + this.#lowestBad) / 2));
    }
    this.#candidate = 0;
    return { kind: "verified", mtu: this.#highestGood };
  }

  #test(mtu: number): MtuStep {
    this.#candidate = mtu;
    this.#testsSent = 0;
    return this.#again();
  }

  #again(): MtuStep {
    const timeoutMs = FIRST_TIMEOUT_MS * 2 ** this.#testsSent++;
    return { kind: "test", mtu: this.#candidate, timeoutMs };
  }
}
