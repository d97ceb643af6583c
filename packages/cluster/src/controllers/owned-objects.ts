import type { KubeObject, WatchEvent } from "@cnilab/core";
import { controllerUid } from "./owner.ts";

/** Objects of one kind by the uid of their controller, kept from a watch. */
export class OwnedObjects<T extends KubeObject> {
  readonly #byOwner = new Map<string, Map<string, T>>();

  /** Takes note of a change. @returns the uid of the object's controller, if it has one */
  apply({ type, object }: WatchEvent<T>): string | undefined {
    const owner = controllerUid(object);
    if (owner === undefined) return undefined;
    const uid = object.metadata.uid as string;
    let owned = this.#byOwner.get(owner);
    if (type === "DELETED") {
      owned?.delete(uid);
      if (owned?.size === 0) this.#byOwner.delete(owner);
      return owner;
    }
    if (owned === undefined) {
      owned = new Map();
      this.#byOwner.set(owner, owned);
    }
    owned.set(uid, object);
    return owner;
  }

  /** In the order in which they were made. */
  of(ownerUid: string | undefined): T[] {
    return ownerUid === undefined ? [] : [...(this.#byOwner.get(ownerUid)?.values() ?? [])];
  }
}
