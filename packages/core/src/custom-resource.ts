import type { Kind, Kinds } from "./api/kinds.ts";
import type { KubeObject } from "./api/meta.ts";
import type { Check } from "./validation/field-check.ts";

/** A column of `kubectl get` beside the name. */
export interface PrinterColumn<T extends KubeObject = KubeObject> {
  readonly name: string;
  /** `date` is a timestamp, and told as an age. */
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  /** Shown with `-o wide` alone. */
  readonly wide?: boolean;
  /** What is not there leaves the cell empty. */
  value(object: T): unknown;
}

/** Another version under which objects may be given; the store has them in the one of {@link CustomResource.version}. */
export interface ServedVersion {
  readonly group: string;
  readonly version: string;
  /** Where it was called something else. */
  readonly kind?: string;
  /** What differs beside `apiVersion` and `kind`. The object is as it was given, and nothing has been checked. */
  convert?(object: KubeObject): KubeObject;
}

/** What the API store has, or is about to have. */
export interface StoredObjects {
  list<K extends Kind>(kind: K): Iterable<Kinds[K]>;
  get<K extends Kind>(kind: K, key: string): Kinds[K] | undefined;
}

/** What an API server knows of a kind that a CNI brings along, as a CustomResourceDefinition tells it. */
export interface CustomResource<T extends KubeObject = KubeObject> {
  readonly group: string;
  /** In which objects are stored. */
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames?: readonly string[];
  readonly namespaced: boolean;
  /** The age alone where there are none. */
  readonly columns?: readonly PrinterColumn<T>[];
  /** `metadata.name`; a DNS subdomain where it is absent. */
  readonly name?: Check;
  /** Looks at all but `metadata`. @throws FieldError */
  readonly check: Check;
  readonly servedVersions?: readonly ServedVersion[];
  /** Fills in what was left out; an object that has all comes back as it is. */
  default?(object: T): T;
  /** Looks at an object among all that there will be with it. @throws FieldError */
  checkAmong?(object: T, all: StoredObjects): void;
  /** What of a stored object cannot be changed. @throws FieldError */
  checkUpdate?(object: T, old: T): void;
  /** Why no CNI does what such an object says, if none does: `it is staged`. */
  readonly notEnforced?: string;
}
