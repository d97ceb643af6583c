import type { KubeObject } from "@cnilab/core";
import type { Description } from "./description.ts";

const SKIPPED: ReadonlySet<string> = new Set([
  ".metadata.managedFields",
  ".metadata.name",
  ".metadata.namespace",
  ".metadata.labels",
  ".metadata.annotations",
]);

/** `kubectl describe` of a kind that it knows nothing of (pkg/describe `genericDescriber`): all fields by name. */
export function describeGeneric(to: Description, object: KubeObject): void {
  to.head(object);
  to.labels("Labels", object.metadata.labels);
  to.annotations("Annotations", object.metadata.annotations);
  describeFields(to, 0, object as unknown as Readonly<Record<string, unknown>>, "");
}

function describeFields(
  to: Description,
  level: number,
  fields: Readonly<Record<string, unknown>>,
  path: string,
): void {
  for (const name of Object.keys(fields).sort()) {
    const value = fields[name];
    const own = `${path}.${name}`;
    if (value === undefined || SKIPPED.has(own)) continue;
    const title = fieldTitle(name);
    if (Array.isArray(value)) {
      to.line(level, `${title}:`);
      for (const each of value) {
        if (isMap(each)) describeFields(to, level + 1, each, own);
        else to.line(level + 1, goText(each));
      }
    } else if (isMap(value)) {
      to.line(level, `${title}:`);
      describeFields(to, level + 1, value, own);
    } else to.line(level, `${title}:\t${goText(value)}`);
  }
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** As Go prints any value (`%v`). */
function goText(value: unknown): string {
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return `[${value.map(goText).join(" ")}]`;
  return String(value);
}

const ACRONYMS: ReadonlySet<string> = new Set(["API", "URL", "UID", "GUID"]);

/** `podSelector` is `Pod Selector` (`smartLabelFor`); names with other characters than letters stay as they are. */
export function fieldTitle(name: string): string {
  if (!/^[\p{L}-]*$/u.test(name)) return name;
  // Runs of small letters with the capital before them, runs of capitals, and the rest (fatih/camelcase).
  const parts = name.match(/\p{Lu}?\p{Ll}+|\p{Lu}+(?!\p{Ll})|-+/gu) ?? [];
  return parts
    .map((part) => {
      if (ACRONYMS.has(part.toUpperCase())) return part.toUpperCase();
      return part === part.toLowerCase() ? part.charAt(0).toUpperCase() + part.slice(1) : part;
    })
    .join(" ");
}
