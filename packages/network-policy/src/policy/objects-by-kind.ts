import type { Kind, Kinds, KubeObject } from "@cnilab/core";
import { kindOf } from "@cnilab/core";

/** Objects sorted by kind, for a CNI that looks at many kinds of them. */
export class ObjectsByKind {
  readonly #byKind = new Map<Kind, KubeObject[]>();

  constructor(objects: Iterable<KubeObject>) {
    for (const object of objects) {
      const kind = kindOf(object);
      const list = this.#byKind.get(kind);
      if (list === undefined) this.#byKind.set(kind, [object]);
      else list.push(object);
    }
  }

  of<K extends Kind>(kind: K): readonly Kinds[K][] {
    return (this.#byKind.get(kind) ?? []) as readonly KubeObject[] as readonly Kinds[K][];
  }
}
