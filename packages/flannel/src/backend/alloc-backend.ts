import type { Lease, LeaseAttributes } from "../lease/lease.ts";
import { type Backend, type BackendContext, plainAttributes } from "./backend.ts";

/** A lease and nothing else (pkg/backend/alloc). */
export class AllocBackend implements Backend {
  readonly #context: BackendContext;

  constructor(context: BackendContext) {
    this.#context = context;
  }

  get mtu(): number {
    return this.#context.iface.dev.mtu;
  }

  register(acquire: (attributes: LeaseAttributes) => Lease): Lease {
    return acquire(plainAttributes(this.#context.iface));
  }

  run(): void {}

  update(): void {}

  stop(): void {}
}
