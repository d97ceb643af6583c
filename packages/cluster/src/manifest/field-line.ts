import type { FieldPath } from "@cnilab/core/validation";
import { LineCounter, parseDocument } from "yaml";

/** Characters of a document in which a line is looked for: this parser takes a second for so many. */
const LONGEST_DOCUMENT = 2 * 1024 * 1024;

/**
 * The line of a field in YAML text, for an error message: the nearest thing above it that is there;
 * `undefined` where the document is too long to look. This parser keeps positions and is ten times
 * slower, so it is asked only when something is wrong, and only about one document.
 * @param document which of the documents, empty ones not counted
 */
export function lineOf(text: string, document: number, path: FieldPath): number | undefined {
  const place = documentAt(text, document);
  if (place === undefined || place.text.length > LONGEST_DOCUMENT) return undefined;
  const counter = new LineCounter();
  const found = parseDocument(place.text, {
    lineCounter: counter,
    uniqueKeys: false,
    logLevel: "silent",
  });
  for (let length = path.length; length >= 0; length--) {
    const node: unknown = found.getIn(path.slice(0, length), true);
    const range = (node as { readonly range?: readonly number[] | null } | undefined)?.range;
    if (range?.[0] !== undefined) return place.line + counter.linePos(range[0]).line;
  }
  return undefined;
}

/** What separates documents can stand nowhere else at the start of a line (YAML 1.2 section 9.1.2). */
const SEPARATOR = /^(?:---|\.\.\.)(?=\s|$)/gm;
/** A line of comments, directives, or a way to write null. */
const EMPTY = /^(?:---|\.\.\.)?\s*(?:~|null|Null|NULL)?\s*(?:[#%].*)?$/;

/** A document by its number, and how many lines stand before it. */
function documentAt(
  text: string,
  document: number,
): { readonly text: string; readonly line: number } | undefined {
  let start = 0;
  let line = 0;
  let seen = 0;
  for (const end of [...text.matchAll(SEPARATOR)].map((m) => m.index).concat(text.length)) {
    const part = text.slice(start, end);
    if (!isEmpty(part) && seen++ === document) return { text: part, line };
    line += part.split("\n").length - 1;
    start = end;
  }
  return undefined;
}

function isEmpty(part: string): boolean {
  return part.split("\n").every((line) => EMPTY.test(line));
}
