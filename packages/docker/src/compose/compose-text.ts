import { InputError } from "@cnilab/core";
import { type FieldPath, formatPath } from "@cnilab/core/validation";
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
} from "yaml";
import { type Environment, InterpolationError, interpolate } from "./interpolation.ts";

/** One file that `-f` names. */
export interface ComposeSource {
  /** What to call it in messages. */
  readonly name: string;
  readonly text: string;
}

/** What a file says of the one before it, where it does not add to it. */
export type Override = "!reset" | "!override";

/** A document of a Compose file, with values in the place of variables. */
export interface ComposeDocument {
  readonly value: Readonly<Record<string, unknown>>;
  readonly overrides: ReadonlyMap<string, Override>;
  /** `file:line`, of the nearest thing above a path that is there. */
  where(path: FieldPath): string;
  /** How many steps of a path are there. */
  depth(path: FieldPath): number;
}

/** Most characters of one file: nobody writes that much, and a parser takes seconds for it. */
const LONGEST_TEXT = 4 * 1024 * 1024;
/** Values of a file with all its aliases written out. */
const MOST_VALUES = 500_000;
/** Aliases of anchors that hold aliases, as yaml counts them. */
const MOST_ALIASES = 1000;

/** Reads the documents of a file. @param missing called with each variable that has no value @throws InputError */
export function readDocuments(
  { name, text }: ComposeSource,
  environment: Environment,
  missing: (name: string) => void,
): ComposeDocument[] {
  if (text.length > LONGEST_TEXT) {
    throw new InputError(`is longer than ${LONGEST_TEXT >> 20} MB, which no Compose file is`, name);
  }
  const lines = new LineCounter();
  let documents: readonly Document[];
  try {
    const parsed = parseAllDocuments(text, {
      lineCounter: lines,
      merge: true,
      logLevel: "silent",
      strict: true,
    });
    documents = "empty" in parsed ? [] : parsed;
  } catch (error) {
    throw notReadable(error, name);
  }
  for (const { errors } of documents) {
    const [error] = errors;
    if (error === undefined) continue;
    const [reason = ""] = error.message.split(/ at line \d+|:?\n/);
    throw new InputError(
      `is not valid YAML: ${reason}`,
      `${name}:${lines.linePos(error.pos[0]).line}`,
    );
  }
  const found = documents
    .filter(({ contents }) => contents !== null && !(isScalar(contents) && contents.value === null))
    .map((document) => new TextDocument(document, name, lines).read(environment, missing));
  if (found.length > 0) return found;
  throw new InputError("is empty; give a Compose file, with services", name);
}

class TextDocument implements ComposeDocument {
  value: Readonly<Record<string, unknown>> = {};
  readonly overrides = new Map<string, Override>();
  readonly #document: Document;
  readonly #source: string;
  readonly #lines: LineCounter;
  #budget = MOST_VALUES;

  constructor(document: Document, source: string, lines: LineCounter) {
    this.#document = document;
    this.#source = source;
    this.#lines = lines;
  }

  read(environment: Environment, missing: (name: string) => void): this {
    try {
      this.#findOverrides();
      const plain = this.#plain();
      const value = this.#copy(plain, [], environment, missing);
      if (typeof value !== "object" || value === null || Array.isArray(value)) {
        throw new InputError("is no Compose file: that is a mapping with services", this.where([]));
      }
      this.value = value as Readonly<Record<string, unknown>>;
    } catch (error) {
      throw notReadable(error, this.#source);
    }
    return this;
  }

  #plain(): unknown {
    try {
      return this.#document.toJS({ maxAliasCount: MOST_ALIASES });
    } catch (error) {
      // What yaml finds no earlier: aliases of aliases, and `<<` of what is no mapping.
      if (error instanceof RangeError || !(error instanceof Error)) throw error;
      const bomb = error.message.startsWith("Excessive alias");
      throw new InputError(
        bomb
          ? "has too many aliases of aliases (a YAML bomb?)"
          : `is not valid YAML: ${error.message}`,
        this.#source,
      );
    }
  }

  where(path: FieldPath): string {
    const { node } = this.#nearest(path);
    const start = node?.range?.[0];
    return start === undefined
      ? this.#source
      : `${this.#source}:${this.#lines.linePos(start).line}`;
  }

  depth(path: FieldPath): number {
    return this.#nearest(path).depth;
  }

  #nearest(path: FieldPath): { readonly node: Node | undefined; readonly depth: number } {
    let node = this.#resolved(this.#document.contents);
    // A key says more than the value that begins in the line below it.
    let place = node;
    for (const [depth, step] of path.entries()) {
      let next: unknown;
      if (isMap(node)) {
        const pair = node.items.find(
          ({ key }) => isScalar(key) && String(key.value) === String(step),
        );
        if (pair === undefined) return { node: place, depth };
        next = pair.value;
        place = pair.key as Node;
      } else if (isSeq(node) && typeof step === "number") {
        next = node.items[step];
        if (next === undefined) return { node: place, depth };
        place = next as Node;
      } else return { node: place, depth };
      node = this.#resolved(next);
    }
    return { node: place, depth: path.length };
  }

  #resolved(node: unknown): Node | undefined {
    return (isAlias(node) ? node.resolve(this.#document) : node) as Node | undefined;
  }

  #findOverrides(): void {
    visit(this.#document, {
      Node: (_, node, ancestors) => {
        const { tag } = node as { readonly tag?: string };
        if (tag === "!reset" || tag === "!override") {
          this.overrides.set(formatPath(pathOf(ancestors, node)), tag);
        }
      },
    });
  }

  /** With values in the place of variables; aliases are followed, so they are counted. */
  #copy(
    value: unknown,
    path: (string | number)[],
    environment: Environment,
    missing: (name: string) => void,
  ): unknown {
    if (--this.#budget < 0) {
      throw new InputError(
        `has more than ${MOST_VALUES} values when its aliases are written out (a YAML bomb?)`,
        this.#source,
      );
    }
    if (typeof value === "string") {
      try {
        return interpolate(value, environment, missing);
      } catch (error) {
        if (!(error instanceof InterpolationError)) throw error;
        throw new InputError(error.message, `${this.where(path)}: ${formatPath(path)}`);
      }
    }
    if (value === null || typeof value !== "object") return value;
    const step = (inner: unknown, key: string | number): unknown => {
      path.push(key);
      const copied = this.#copy(inner, path, environment, missing);
      path.pop();
      return copied;
    };
    if (Array.isArray(value)) return value.map(step);
    const copy: Record<string, unknown> = {};
    for (const [key, inner] of Object.entries(value)) {
      if (key !== "__proto__") copy[key] = step(inner, key);
    }
    return copy;
  }
}

function pathOf(ancestors: readonly unknown[], node: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  const chain = [...ancestors, node];
  for (const [i, each] of chain.entries()) {
    const next = chain[i + 1];
    if (isSeq(each) && next !== undefined) path.push(each.items.indexOf(next));
    else if (typeof each === "object" && each !== null && "key" in each && next !== undefined) {
      path.push(String(isScalar(each.key) ? each.key.value : each.key));
    }
  }
  return path;
}

function notReadable(error: unknown, name: string): unknown {
  if (error instanceof InputError) return error;
  if (error instanceof RangeError) return new InputError("is nested too deeply", name);
  return error;
}
