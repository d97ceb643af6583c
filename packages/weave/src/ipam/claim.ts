import { formatIp, type Ipv4Address } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";
import { NO_CONTAINER_ID } from "./allocation.ts";
import type { Allocator, ClaimRequest } from "./allocator.ts";
import { type Claimed, cancelled, type Operation } from "./operation.ts";

/** Attempts before who asks is told that the address cannot be had. */
const MAX_TRIES = 5;

/** A request for one address, which the container has already, say (ipam/claim.go). */
export class Claim implements Operation {
  readonly ident: string;
  readonly address: Ipv4Address;
  readonly #allocator: Allocator;
  readonly #request: ClaimRequest;
  #done: Claimed | undefined;
  #tries = 0;

  constructor(allocator: Allocator, request: ClaimRequest, done: Claimed) {
    this.#allocator = allocator;
    this.#request = request;
    this.ident = request.ident;
    this.address = request.address;
    this.#done = done;
  }

  get subject(): string {
    return `${formatIp(this.address)}/${this.#request.length}`;
  }

  attempt(): boolean {
    if (this.#request.hasBeenCancelled?.() === true) {
      this.cancel();
      return true;
    }
    this.#tries++;
    const { ring, name } = this.#allocator;
    if (!ring.contains(this.address)) {
      this.#answer(this.#takeOutside());
      return true;
    }
    this.#allocator.establishRing();
    this.#allocator.resurrect(this.ident);
    const owner = ring.owner(this.address);
    if (owner === name) {
      this.#answer(this.#takeOwn());
      return true;
    }
    if (owner === undefined) {
      if (this.#request.noErrorOnUnknown === true) this.#answer(undefined);
      return false;
    }
    const asked = this.#allocator.requestSpace(owner, {
      start: this.address,
      end: this.address + 1,
    });
    if (asked) return false;
    if (this.#request.noErrorOnUnknown === true) this.#answer(undefined);
    else if (this.#tries > MAX_TRIES) {
      this.deniedBy(owner, `no relay connections available for unicast to ${owner}`);
      return true;
    }
    return false;
  }

  cancel(): void {
    this.#answer(cancelled("Claim", this.ident));
  }

  deniedBy(owner: PeerName, reason?: string): void {
    const nickname = this.#allocator.nicknames.get(owner);
    const who = nickname === undefined ? owner : `${owner} (${nickname})`;
    const why = reason === undefined ? "" : ` - ${reason}`;
    this.#answer(new Error(`address ${this.#text} is owned by other peer ${who}${why}`));
  }

  get #text(): string {
    return `${formatIp(this.address)}/${this.#request.length}`;
  }

  #isAnonymous(): boolean {
    return this.ident === NO_CONTAINER_ID;
  }

  #add(): void {
    const ident = this.#isAnonymous() ? formatIp(this.address) : this.ident;
    const { length, isContainer } = this.#request;
    this.#allocator.owned.add(ident, { address: this.address, length }, isContainer);
  }

  /** An address outside of what is allocated: it is only noted. */
  #takeOutside(): Error | undefined {
    const { owned } = this.#allocator;
    const before = owned.identOf(this.address);
    if (before === undefined) this.#add();
    else if (before === this.ident || this.#isAnonymous()) return undefined;
    else if (this.#allocator.isDead(before)) {
      owned.remove(before, this.address);
      this.#add();
    } else return new Error(`address ${this.#text} already in use by ${before}`);
    return undefined;
  }

  #takeOwn(): Error | undefined {
    const { owned, space } = this.#allocator;
    const before = owned.identOf(this.address);
    if (before === undefined) {
      if (!space.claim(this.address)) {
        return new Error(`Address ${formatIp(this.address)} is not free to claim`);
      }
      this.#add();
      return undefined;
    }
    // Whoever does not say for whom may be the one that has it.
    if (before === this.ident || this.#isAnonymous()) return undefined;
    if (before === formatIp(this.address)) return new Error(`address ${this.#text} already in use`);
    return new Error(`address ${this.#text} is already owned by ${before}`);
  }

  /** Whoever asked is told once. */
  #answer(error: Error | undefined): void {
    this.#done?.(error);
    this.#done = undefined;
  }
}
