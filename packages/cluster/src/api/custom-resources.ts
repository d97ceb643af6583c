import { type CustomResource, type Kind, type KubeObject, kindOf } from "@cnilab/core";

/** Kinds beside the built-in ones, found by what the API store calls them, or by a version that is served. */
export class CustomResources {
  static readonly NONE: CustomResources = new CustomResources([]);

  readonly all: readonly CustomResource[];
  readonly #byKind = new Map<string, CustomResource>();
  /** By every version, as `crd.projectcalico.org/v1 IPPool`; several CNIs may bring one kind. */
  readonly #byVersion = new Map<string, CustomResource>();
  /** By group and kind, whatever the version. */
  readonly #byGroup = new Map<string, CustomResource>();

  constructor(resources: readonly CustomResource[]) {
    for (const resource of resources) {
      const { group, version, kind } = resource;
      const key = kindOf({ apiVersion: `${group}/${version}`, kind });
      if (this.#byKind.has(key)) continue;
      this.#byKind.set(key, resource);
      for (const served of [resource, ...(resource.servedVersions ?? [])]) {
        const name = served.kind ?? kind;
        this.#byVersion.set(`${served.group}/${served.version} ${name}`, resource);
        this.#byGroup.set(`${served.group} ${name}`, resource);
      }
    }
    this.all = [...this.#byKind.values()];
  }

  get(kind: Kind): CustomResource | undefined {
    return this.#byKind.get(kind);
  }

  /** Whose objects these are, in this version. */
  serving({
    apiVersion,
    kind,
  }: Pick<KubeObject, "apiVersion" | "kind">): CustomResource | undefined {
    return this.#byVersion.get(`${apiVersion} ${kind}`);
  }

  /** Whose objects these would be in another version of the same group. */
  inGroup({
    apiVersion,
    kind,
  }: Pick<KubeObject, "apiVersion" | "kind">): CustomResource | undefined {
    return this.#byGroup.get(`${apiVersion.slice(0, apiVersion.indexOf("/"))} ${kind}`);
  }

  /** An object in the version in which it is stored; of other kinds as it is. */
  stored(object: KubeObject): KubeObject {
    const resource = this.serving(object);
    if (resource === undefined) return object;
    const { group, version, kind } = resource;
    const apiVersion = `${group}/${version}`;
    if (object.apiVersion === apiVersion && object.kind === kind) return object;
    const served = resource.servedVersions?.find(
      (v) => `${v.group}/${v.version}` === object.apiVersion && (v.kind ?? kind) === object.kind,
    );
    return { ...(served?.convert?.(object) ?? object), apiVersion, kind };
  }

  /** With the defaults of its kind; of other kinds as it is. */
  defaulted(object: KubeObject): KubeObject {
    return this.get(kindOf(object))?.default?.(object) ?? object;
  }
}
