import { type FieldPath, formatPath } from "@cnilab/core/validation";
import type { Override } from "./compose-text.ts";

type Mapping = Readonly<Record<string, unknown>>;

/** How one field of two files becomes one (compose-go override/merge.go `mergeSpecials`). */
type Form = "replace" | "pairs" | "names" | "list";

const FORMS: Readonly<Record<string, Form>> = {
  annotations: "pairs",
  command: "replace",
  depends_on: "names",
  dns: "list",
  dns_opt: "list",
  dns_search: "list",
  entrypoint: "replace",
  env_file: "list",
  environment: "pairs",
  extra_hosts: "list",
  label_file: "list",
  labels: "pairs",
  models: "names",
  networks: "names",
  sysctls: "pairs",
  tmpfs: "list",
};

/** A file on top of what the files before it say. */
export function mergeDocuments(
  base: Mapping,
  over: Mapping,
  overrides: ReadonlyMap<string, Override>,
): Mapping {
  return mergeMappings(base, over, [], overrides);
}

function mergeMappings(
  base: Mapping,
  over: Mapping,
  path: FieldPath,
  overrides: ReadonlyMap<string, Override>,
): Mapping {
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const inner = [...path, key];
    const override = overrides.get(formatPath(inner));
    if (override === "!reset") delete merged[key];
    else if (override === "!override" || !Object.hasOwn(merged, key)) merged[key] = value;
    else merged[key] = mergeValues(merged[key], value, inner, overrides);
  }
  return merged;
}

function mergeValues(
  base: unknown,
  over: unknown,
  path: FieldPath,
  overrides: ReadonlyMap<string, Override>,
): unknown {
  const form = formOf(path);
  if (form === "replace") return over;
  if (over === null || over === undefined) return base;
  if (Array.isArray(base) && Array.isArray(over) && isIpamConfig(path)) return bySubnet(base, over);
  const [x, y] = [inForm(base, form), inForm(over, form)];
  if (isMapping(x) && isMapping(y)) return mergeMappings(x, y, path, overrides);
  if (Array.isArray(x) && Array.isArray(y)) return [...x, ...y];
  return y;
}

/** Of services' fields alone: `networks` at the top is a mapping anyway. */
function formOf(path: FieldPath): Form | undefined {
  const [top, , field] = path;
  return top === "services" && path.length === 3 ? FORMS[String(field)] : undefined;
}

function isIpamConfig([top, , ipam, config]: FieldPath): boolean {
  return top === "networks" && ipam === "ipam" && config === "config";
}

/** What is said of one subnet in two files is put together (compose-go `mergeIPAMConfig`). */
function bySubnet(base: readonly Mapping[], over: readonly Mapping[]): Mapping[] {
  const merged = new Map(base.map((config) => [config["subnet"], config]));
  for (const config of over) {
    merged.set(config["subnet"], { ...merged.get(config["subnet"]), ...config });
  }
  return [...merged.values()];
}

function inForm(value: unknown, form: Form | undefined): unknown {
  switch (form) {
    case "pairs":
      return pairs(value);
    case "names":
      return Array.isArray(value) ? Object.fromEntries(value.map((name) => [name, null])) : value;
    case "list":
      if (isMapping(value)) {
        return Object.entries(value).flatMap(([key, v]) =>
          [v].flat().map((each) => `${key}=${each}`),
        );
      }
      return typeof value === "string" ? [value] : value;
    default:
      return value;
  }
}

/** `NAME=value` a line, or a mapping, as a mapping; `null` for a name without a value. */
export function pairs(value: unknown): Readonly<Record<string, string | null>> {
  const found: Record<string, string | null> = {};
  const entries = Array.isArray(value)
    ? value.map((line) => cut(String(line)))
    : isMapping(value)
      ? Object.entries(value)
      : [];
  for (const [name, each] of entries) {
    if (name !== "__proto__")
      found[name] = each === null || each === undefined ? null : String(each);
  }
  return found;
}

function cut(line: string): [string, string | null] {
  const at = line.indexOf("=");
  return at < 0 ? [line, null] : [line.slice(0, at), line.slice(at + 1)];
}

export function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
