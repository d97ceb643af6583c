import { type CustomResource, InputError, type KubeObject, kindOf } from "@cnilab/core";
import { FieldError, type FieldPath, formatPath } from "@cnilab/core/validation";
import { CORE_SCHEMA, loadAll, mergeTag, YAMLException } from "js-yaml";
import { CustomResources } from "../api/custom-resources.ts";
import { inScope, isNamespaced } from "../api/kind-scope.ts";
import { lineOf } from "./field-line.ts";
import { checkObject, KIND_CHECKS } from "./object-checks.ts";

/** Most characters of one input. */
export const LONGEST_INPUT: number = 64 * 1024 * 1024;
/** Characters from which on an input must look like a manifest before anyone parses it. */
const LONGEST_UNSEEN = 1024 * 1024;
/** Most references to anchors in one input. */
const MOST_ALIASES = 10_000;
/** Values that an input may have with all its aliases written out, beside one for each character. */
const MOST_VALUES = 1_000_000;
const SCHEMA = CORE_SCHEMA.withTags(mergeTag);

export interface ParsedManifests {
  readonly objects: KubeObject[];
  /** Kinds that are not simulated, most frequent first. */
  readonly ignored: { readonly kind: string; readonly count: number }[];
}

export interface ParseOptions {
  /** Kinds beside the built-in ones, with the group of their API; only their metadata is checked. */
  readonly alsoKinds?: Readonly<Record<string, string>>;
  /** Kinds that CNIs bring along; objects come back as the API server would store them. */
  readonly resources?: readonly CustomResource[];
}

/** Where an object stands in its input. */
interface Place {
  readonly document: number;
  readonly path: FieldPath;
}

/** Objects that were found good: an object is looked at once. */
const checked = new WeakSet<object>();

/**
 * Reads manifests: YAML of several documents, or JSON, also lists as `kubectl get -o yaml` prints them.
 * @param source what to call the input in messages, as `pods.yaml`
 * @throws InputError
 */
export function parseManifests(
  text: string,
  source: string,
  options: ParseOptions = {},
): ParsedManifests {
  return new ManifestReader(text, source, options).read();
}

/** Checks an object that was not read by {@link parseManifests}. @throws InputError */
export function checkManifest(
  object: KubeObject,
  resources: CustomResources = CustomResources.NONE,
): void {
  if (checked.has(object)) return;
  try {
    checkObject(resources.stored(object), resources);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new InputError(error.message, nameOf(object, resources));
  }
}

class ManifestReader {
  readonly #text: string;
  readonly #source: string;
  readonly #also: Readonly<Record<string, string>>;
  readonly #resources: CustomResources;
  readonly #objects: KubeObject[] = [];
  readonly #ignored = new Map<string, number>();
  readonly #seen = new Map<string, Place>();
  #budget: number;

  constructor(text: string, source: string, options: ParseOptions) {
    this.#text = text.startsWith("\ufeff") ? text.slice(1) : text;
    this.#source = source;
    this.#also = options.alsoKinds ?? {};
    this.#resources = new CustomResources(options.resources ?? []);
    this.#budget = MOST_VALUES + text.length;
  }

  read(): ParsedManifests {
    this.#checkText();
    const documents = this.#load();
    documents.forEach((document, i) => {
      this.#readDocument(this.#clean(document), { document: i, path: [] });
    });
    if (this.#objects.length === 0 && this.#ignored.size === 0) {
      throw new InputError("holds no Kubernetes objects", this.#source);
    }
    const ignored = [...this.#ignored].map(([kind, count]) => ({ kind, count }));
    ignored.sort((x, y) => y.count - x.count || (x.kind < y.kind ? -1 : 1));
    return { objects: this.#objects, ignored };
  }

  #checkText(): void {
    if (this.#text.length > LONGEST_INPUT) {
      const size = Math.ceil(this.#text.length / 1024 / 1024);
      throw new InputError(
        `is ${size} MB long, and ${LONGEST_INPUT / 1024 / 1024} MB is the most; split it`,
        this.#source,
      );
    }
    // YAML 1.2 section 5.1: what is no printable character cannot be in it.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are looked for
    const binary = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffd]/.exec(this.#text);
    if (binary !== null) {
      throw new InputError(
        "is not text, so it is no manifest",
        `${this.#source}:${this.#lineAt(binary.index)}`,
      );
    }
    if (this.#text.trim() === "") {
      throw new InputError("is empty; give a file with Kubernetes objects", this.#source);
    }
    if (this.#text.length > LONGEST_UNSEEN && !/(?:^|[\s{,])["']?kind["']?\s*:/.test(this.#text)) {
      throw new InputError(
        "holds no Kubernetes objects: nothing in it has a kind; check that it is a manifest",
        this.#source,
      );
    }
  }

  #load(): unknown[] {
    const start = this.#text.trimStart()[0];
    if (start === "{" || start === "[") {
      try {
        return [JSON.parse(this.#text)];
      } catch {
        // Several JSON documents, or YAML in flow style: YAML's parser reads both.
      }
    }
    try {
      const documents = loadAll(this.#text, { schema: SCHEMA, maxAliases: MOST_ALIASES });
      return documents.filter((d) => d !== null && d !== undefined);
    } catch (error) {
      throw this.#syntaxError(error);
    }
  }

  #syntaxError(error: unknown): InputError {
    if (isHelm(this.#text)) return this.#helm();
    if (error instanceof RangeError) {
      return new InputError("is nested too deeply", this.#source);
    }
    if (!(error instanceof YAMLException)) throw error;
    const mark = error.mark as { readonly line: number } | undefined;
    const where = mark === undefined ? this.#source : `${this.#source}:${mark.line + 1}`;
    const reason = error.reason.startsWith("aliases exceeded")
      ? `has more than ${MOST_ALIASES} aliases`
      : `is not valid YAML: ${error.reason}`;
    return new InputError(reason, where, { cause: error });
  }

  #helm(): InputError {
    const at = this.#text.indexOf("{{");
    return new InputError(
      "is a Helm template; render it first: helm template NAME CHART | cnilab … -f -",
      `${this.#source}:${this.#lineAt(at)}`,
    );
  }

  #lineAt(index: number): number {
    let line = 1;
    for (let i = 0; i < index; i++) if (this.#text.charCodeAt(i) === 10) line++;
    return line;
  }

  /** Takes out what is null, which the API takes as absent. Aliases are followed, so they are counted. */
  #clean(value: unknown): unknown {
    if (--this.#budget < 0) {
      throw new InputError(
        `has more than ${MOST_VALUES} values when its aliases are written out (a YAML bomb?)`,
        this.#source,
      );
    }
    if (Array.isArray(value)) return value.map((item) => this.#clean(item));
    if (value === null || typeof value !== "object") return value;
    const clean: Record<string, unknown> = {};
    for (const key in value) {
      const field = (value as Record<string, unknown>)[key];
      if (key === "__proto__") continue; // it would not be a field
      if (field !== null && field !== undefined) clean[key] = this.#clean(field);
    }
    return clean;
  }

  #readDocument(document: unknown, place: Place): void {
    if (document === null || typeof document !== "object" || Array.isArray(document)) {
      this.#fail(place, "", "is not a Kubernetes object; it needs apiVersion, kind and metadata");
    }
    const { apiVersion, kind, items } = document as Readonly<Record<string, unknown>>;
    if (isKustomization(document as object, this.#source)) {
      this.#fail(
        place,
        "",
        "is a kustomization; build it first: kubectl kustomize FOLDER | cnilab … -f -",
      );
    }
    if (typeof kind !== "string") {
      this.#fail(place, "", "has no kind; it needs apiVersion, kind and metadata");
    }
    if (typeof apiVersion !== "string") {
      this.#fail(place, kind as string, "has no apiVersion, such as v1 or apps/v1");
    }
    if ((kind as string).endsWith("List") && Array.isArray(items)) {
      items.forEach((item, i) => {
        const itemPlace = { document: place.document, path: [...place.path, "items", i] };
        // Lists of one kind, as the API returns them, leave out what all items share.
        const whole = withKind(item, kind as string, apiVersion as string);
        this.#readDocument(whole, itemPlace);
      });
      return;
    }
    this.#readObject(document as KubeObject, place);
  }

  #readObject(object: KubeObject, place: Place): void {
    const { apiVersion, kind } = object;
    const custom = this.#resources.inGroup(object);
    if (custom !== undefined) {
      if (this.#resources.serving(object) === undefined) this.#wrongVersion(object, custom, place);
      this.#take(this.#resources.stored(object), place);
      return;
    }
    const slash = apiVersion.indexOf("/");
    const group = slash < 0 ? "" : apiVersion.slice(0, slash);
    const checks = KIND_CHECKS[kind];
    if ((checks?.group ?? this.#also[kind]) !== group) {
      if (checks !== undefined && group === "extensions") this.#wrongVersion(object, checks, place);
      // Somebody else's Service is none of ours, and its name must say so.
      const name = checks === undefined ? kind : kindOf(object);
      this.#ignored.set(name, (this.#ignored.get(name) ?? 0) + 1);
      return;
    }
    const version = apiVersion.slice(slash + 1);
    const served = version === checks?.version || checks?.olderVersions?.includes(version) === true;
    if (checks !== undefined && !served) this.#wrongVersion(object, checks, place);
    this.#take(object, place);
  }

  #take(object: KubeObject, place: Place): void {
    try {
      checkObject(object, this.#resources);
    } catch (error) {
      if (!(error instanceof FieldError)) throw error;
      if (isHelm(this.#text)) throw this.#helm();
      const field = { document: place.document, path: [...place.path, ...error.path] };
      this.#fail(field, nameOf(object, this.#resources), error.message);
    }
    const id = identityOf(object, this.#resources);
    const first = this.#seen.get(id);
    if (first !== undefined) {
      const line = lineOf(this.#text, first.document, first.path);
      this.#fail(
        place,
        nameOf(object, this.#resources),
        `is here a second time (first on line ${line}); remove one`,
      );
    }
    this.#seen.set(id, place);
    const custom = this.#resources.get(kindOf(object)) !== undefined;
    const whole = custom ? inScope(this.#resources.defaulted(object), this.#resources) : object;
    checked.add(whole);
    this.#objects.push(whole);
  }

  #wrongVersion(
    object: KubeObject,
    { group, version }: { readonly group: string; readonly version: string },
    place: Place,
  ): never {
    const right = group === "" ? version : `${group}/${version}`;
    const path = [...place.path, "apiVersion"];
    return this.#fail(
      { document: place.document, path },
      nameOf(object, this.#resources),
      `apiVersion ${object.apiVersion} is not served any more; write ${right}`,
    );
  }

  #fail(place: Place, name: string, message: string): never {
    const line = lineOf(this.#text, place.document, place.path);
    const where = line === undefined ? this.#source : `${this.#source}:${line}`;
    const what = name === "" && place.path.length > 0 ? formatPath(place.path) : name;
    throw new InputError(message, what === "" ? where : `${where}: ${what}`);
  }
}

/** `Kind namespace/name` of whatever was given as an object; with the group, too, where a built-in kind is called the same. */
export function nameOf(
  object: KubeObject,
  resources: CustomResources = CustomResources.NONE,
): string {
  const metadata: Partial<KubeObject["metadata"]> = object.metadata ?? {};
  const { name, namespace } = metadata;
  const kind = kindText(kindOf(object));
  if (typeof name !== "string") return kind;
  return isNamespaced(kindOf(object), resources)
    ? `${kind} ${namespace ?? "default"}/${name}`
    : `${kind} ${name}`;
}

/** A kind as people read it: without its group, unless a built-in kind is called the same. */
export function kindText(kind: string): string {
  const [name = ""] = kind.split(".");
  return Object.hasOwn(KIND_CHECKS, name) ? kind : name;
}

/** What tells an object from all others: its kind as the API store calls it, and its key there. */
export function identityOf(object: KubeObject, resources: CustomResources): string {
  const kind = kindOf(object);
  const { name, namespace } = object.metadata;
  if (!isNamespaced(kind, resources)) return `${kind} ${name}`;
  return `${kind} ${namespace ?? "default"}/${name}`;
}

/** Template actions outside of comments; a ConfigMap may well hold `{{ }}` of some other program. */
function isHelm(text: string): boolean {
  return /\{\{-?\s*(?:[.$]|(?:include|if|else|end|range|with|define|template|toYaml|block|tpl|required|default|printf|quote|lookup)\b|\/\*)/.test(
    text,
  );
}

function isKustomization(document: object, source: string): boolean {
  const { kind, apiVersion } = document as Readonly<Record<string, unknown>>;
  if (kind === "Kustomization" || kind === "Component") {
    return typeof apiVersion !== "string" || apiVersion.startsWith("kustomize.config.k8s.io/");
  }
  return kind === undefined && /(^|[/\\])[Kk]ustomization(\.ya?ml)?$/.test(source);
}

function withKind(item: unknown, listKind: string, apiVersion: string): unknown {
  if (listKind === "List" || item === null || typeof item !== "object" || "kind" in item)
    return item;
  return { apiVersion, kind: listKind.slice(0, -"List".length), ...item };
}
