import type { ReferenceGrant } from "@cnilab/core";

/** One end of a reference. */
export interface Referrer {
  readonly group: string;
  readonly kind: string;
  readonly namespace: string;
}

export interface Referred extends Referrer {
  readonly name: string;
}

/** Who may refer to what in another namespace. */
export class ReferenceGrants {
  /** By the namespace that lets others in, then by who they are. */
  readonly #byTarget = new Map<string, Map<string, ReferenceGrant["spec"]["to"][number][]>>();

  constructor(grants: readonly ReferenceGrant[]) {
    for (const { metadata, spec } of grants) {
      const namespace = metadata.namespace ?? "default";
      let target = this.#byTarget.get(namespace);
      if (target === undefined) {
        target = new Map();
        this.#byTarget.set(namespace, target);
      }
      for (const from of spec.from) {
        const key = keyOf(from);
        target.set(key, [...(target.get(key) ?? []), ...spec.to]);
      }
    }
  }

  permits(from: Referrer, to: Referred): boolean {
    if (from.namespace === to.namespace) return true;
    const granted = this.#byTarget.get(to.namespace)?.get(keyOf(from)) ?? [];
    return granted.some(
      ({ group, kind, name }) =>
        group === to.group && kind === to.kind && (name === undefined || name === to.name),
    );
  }
}

function keyOf({ group, kind, namespace }: Referrer): string {
  return `${group} ${kind} ${namespace}`;
}
