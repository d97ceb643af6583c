import { KernelError } from "../kernel-error.ts";

/** A counter with a name (`struct nf_acct`). */
export interface NfacctObject {
  readonly name: string;
  packets: number;
  bytes: number;
}

/** The named counters of a namespace, as the nfacct command has them. */
export class Nfacct {
  readonly #objects: Map<string, NfacctObject> = new Map();

  /** `nfacct add`. @throws KernelError EBUSY where there is one of that name */
  add(name: string): NfacctObject {
    if (this.#objects.has(name)) throw new KernelError("EBUSY", `nfacct ${name}`);
    const object: NfacctObject = { name, packets: 0, bytes: 0 };
    this.#objects.set(name, object);
    return object;
  }

  /** `nfacct delete`. @throws KernelError ENOENT */
  delete(name: string): void {
    if (!this.#objects.delete(name)) throw new KernelError("ENOENT", `nfacct ${name}`);
  }

  find(name: string): NfacctObject | undefined {
    return this.#objects.get(name);
  }

  /** `nfacct list`, in the order in which they were added. */
  get all(): Iterable<NfacctObject> {
    return this.#objects.values();
  }
}
