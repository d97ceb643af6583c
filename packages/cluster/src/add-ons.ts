import {
  ADD_ON_ANNOTATION,
  type AddOn,
  type ClusterConfig,
  type Kind,
  type KubeObject,
  kindOf,
  objectKey,
  type PodTemplateSpec,
} from "@cnilab/core";
import type { ApiStore } from "./api/api-store.ts";
import { isNamespaced } from "./api/kind-scope.ts";

/** Knows which objects add-ons have made, so that each is made once. */
export class AddOns {
  readonly #addOns: readonly AddOn[];
  readonly #api: ApiStore;
  readonly #config: ClusterConfig;
  readonly #made = new Set<string>();

  constructor(addOns: readonly AddOn[], api: ApiStore, config: ClusterConfig) {
    this.#addOns = addOns;
    this.#api = api;
    this.#config = config;
  }

  /** Objects that are to be made now. @param kind of this kind alone */
  due(kind?: Kind): KubeObject[] {
    const due: KubeObject[] = [];
    for (const addOn of this.#addOns) {
      for (const object of addOn.objects(this.#api, this.#config)) {
        const its = kindOf(object);
        if (kind !== undefined && its !== kind) continue;
        const key = this.#keyOf(object);
        const id = `${its} ${key}`;
        if (this.#made.has(id) || this.#api.get(its, key) !== undefined) continue;
        this.#made.add(id);
        due.push(marked(object, addOn.name));
      }
    }
    return due;
  }

  #keyOf(object: KubeObject): string {
    const { namespace, name } = object.metadata;
    const isMissing = namespace === undefined && isNamespaced(kindOf(object), this.#api.resources);
    return isMissing ? `default/${name}` : objectKey(object);
  }
}

function marked(object: KubeObject, name: string): KubeObject {
  const metadata = {
    ...object.metadata,
    annotations: annotated(object.metadata.annotations, name),
  };
  const { spec } = object as { readonly spec?: { readonly template?: PodTemplateSpec } };
  if (spec?.template === undefined) return { ...object, metadata };
  const { template } = spec;
  const pods = {
    ...template,
    metadata: {
      ...template.metadata,
      annotations: annotated(template.metadata?.annotations, name),
    },
  };
  return { ...object, metadata, spec: { ...spec, template: pods } } as KubeObject;
}

function annotated(
  annotations: Readonly<Record<string, string>> | undefined,
  name: string,
): Readonly<Record<string, string>> {
  return { ...annotations, [ADD_ON_ANNOTATION]: name };
}
