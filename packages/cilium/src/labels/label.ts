import { type Prefix, tryParsePrefix } from "@cnilab/net";

// Labels of identities and what selectors compare them with (pkg/labels/labels.go).

/** Where labels come from. */
export const LABEL_SOURCE = {
  unspec: "unspec",
  /** In selectors: whatever the source. */
  any: "any",
  k8s: "k8s",
  container: "container",
  reserved: "reserved",
  cidr: "cidr",
  cidrGroup: "cidrgroup",
  node: "node",
  fqdn: "fqdn",
  directory: "directory",
} as const;

/** `source:key=value`. */
export interface Label {
  readonly source: string;
  readonly key: string;
  readonly value: string;
  /** Of the source `cidr`: what the key says. */
  readonly prefix?: Prefix;
}

export function label(source: string, key: string, value = ""): Label {
  if (source !== LABEL_SOURCE.cidr) return { source, key, value };
  const prefix = prefixOfKey(key);
  return prefix === undefined ? { source, key, value } : { source, key, value, prefix };
}

/** `source:key=value`, `source:key`, `$key` and `reserved.key` for reserved ones; no source is `unspec`. */
export function parseLabel(text: string): Label {
  return parse(text, ":");
}

/** The same, as selectors are written: no source is any source. */
export function parseSelectLabel(text: string): Label {
  return ofAnySource(parse(text, ":"));
}

/** Of a selector's key `source.key`, as {@link extendedKey} writes it. */
export function parseExtendedKey(text: string): Label {
  return ofAnySource(parse(text, "."));
}

function ofAnySource(parsed: Label): Label {
  return parsed.source === LABEL_SOURCE.unspec ? { ...parsed, source: LABEL_SOURCE.any } : parsed;
}

function parse(text: string, delimiter: ":" | "."): Label {
  const [given, rest] = splitSource(text, delimiter);
  const source = given === "" ? LABEL_SOURCE.unspec : given;
  const equals = rest.indexOf("=");
  if (equals < 0) return label(source, rest);
  // "$=host" is reserved:host.
  if (equals === 0 && given === LABEL_SOURCE.reserved) return label(source, rest.slice(1));
  return label(source, rest.slice(0, equals), rest.slice(equals + 1));
}

const RESERVED_PREFIX = "reserved.";

function splitSource(text: string, delimiter: ":" | "."): readonly [source: string, rest: string] {
  if (text.startsWith("$")) return [LABEL_SOURCE.reserved, text.slice(1)];
  const at = text.indexOf(delimiter);
  if (at >= 0) return [text.slice(0, at), text.slice(at + 1)];
  return delimiter === ":" && text.startsWith(RESERVED_PREFIX)
    ? [LABEL_SOURCE.reserved, text.slice(RESERVED_PREFIX.length)]
    : ["", text];
}

/** `source:key=value`, and without a value `source:key`. */
export function formatLabel({ source, key, value }: Label): string {
  return value === "" ? `${source}:${key}` : `${source}:${key}=${value}`;
}

/** The key with its source before it, as selectors of Kubernetes take it: `k8s.app`. */
export function extendedKey({ source, key }: Label): string {
  return `${source}.${key}`;
}

/** The same for a key as a policy has it: `k8s:app` is `k8s.app`, `app` is `any.app`. */
export function extendKey(text: string): string {
  const [source, rest] = splitSource(text, ":");
  const equals = rest.indexOf("=");
  return `${source === "" ? LABEL_SOURCE.any : source}.${equals < 0 ? rest : rest.slice(0, equals)}`;
}

/** Back: `k8s.app` is `k8s:app`. */
export function policyKey(extended: string): string {
  const dot = extended.indexOf(".");
  return dot < 0
    ? `${LABEL_SOURCE.any}:${extended}`
    : `${extended.slice(0, dot)}:${extended.slice(dot + 1)}`;
}

/** Whether `of` has `wanted`'s key: of any source where that is `any`, and for ranges of addresses in a wider one, too. */
export function hasKey(of: Label, wanted: Label): boolean {
  if (wanted.source !== LABEL_SOURCE.any && of.source !== wanted.source) return false;
  if (wanted.prefix !== undefined && of.prefix !== undefined && wanted.prefix.covers(of.prefix)) {
    return true;
  }
  return of.key === wanted.key;
}

/** A key such as `10.0.0.0/8` or `2001-db8--0/32`. */
export function prefixOfKey(key: string): Prefix | undefined {
  return tryParsePrefix(key.replaceAll("-", ":"));
}
