import { formatIp, type Prefix } from "@cnilab/net";
import { hostRange, overlaps, rangeOf } from "./address-range.ts";
import type { AllocateRequest, Allocator } from "./allocator.ts";
import { type Allocated, cancelled, type Operation } from "./operation.ts";

/** A request for any address of a subnet (ipam/allocate.go). */
export class Allocation implements Operation {
  readonly ident: string;
  readonly #allocator: Allocator;
  readonly #subnet: Prefix;
  readonly #request: AllocateRequest;
  readonly #done: Allocated;

  constructor(allocator: Allocator, request: AllocateRequest, done: Allocated) {
    this.#allocator = allocator;
    this.#request = request;
    this.ident = request.ident;
    this.#subnet = request.subnet;
    this.#done = done;
  }

  get subject(): string {
    return String(this.#subnet);
  }

  attempt(): boolean {
    if (this.#request.hasBeenCancelled?.() === true) {
      this.cancel();
      return true;
    }
    const { owned, ring, space } = this.#allocator;
    const range = rangeOf(this.#subnet);
    const has = owned.inRange(this.ident, range);
    if (has !== undefined) {
      this.#allocator.resurrect(this.ident);
      this.#done(has.address);
      return true;
    }
    if (!overlaps(ring.range, range)) {
      this.#done(new Error(`range ${this.#subnet} out of bounds: ${this.#allocator.universe}`));
      return true;
    }
    this.#allocator.establishRing();
    const address = space.allocate(hostRange(this.#subnet));
    if (address !== undefined) {
      // Without an id an address is filed under itself, so that it can be given back.
      const ident = this.ident === NO_CONTAINER_ID ? formatIp(address) : this.ident;
      owned.add(ident, { address, length: this.#subnet.length }, this.#request.isContainer);
      this.#done(address);
      return true;
    }
    this.#allocator.requestSpaceOfAny(range);
    return false;
  }

  cancel(): void {
    this.#done(cancelled("Allocate", this.ident));
  }
}

/** Whoever asks does not say for whom (api.NoContainerID). */
export const NO_CONTAINER_ID = "_";
