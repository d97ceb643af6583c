import { LineCounter, parseAllDocuments } from "yaml";
import type { FieldPath } from "./field-error.ts";

/**
 * The line of a field in YAML text, for an error message: the nearest thing above it that is there. This
 * parser keeps positions and is ten times slower, so it is asked only when something is wrong.
 * @param document which of the documents, empty ones not counted
 */
export function lineOf(text: string, document: number, path: FieldPath): number | undefined {
  const counter = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: counter,
    uniqueKeys: false,
    logLevel: "silent",
  });
  if (!Array.isArray(documents)) return undefined;
  const found = documents.filter((d) => d.contents !== null)[document];
  if (found === undefined) return undefined;
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = found.getIn(path.slice(0, length), true);
    const range = (node as { readonly range?: readonly number[] | null } | undefined)?.range;
    if (range?.[0] !== undefined) return counter.linePos(range[0]).line;
  }
  return undefined;
}
