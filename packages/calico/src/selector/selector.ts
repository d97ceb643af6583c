import { uniqueId } from "../hash/unique-id.ts";
import { type LabelRestrictions, labelRestrictions } from "./label-restrictions.ts";
import {
  canonicalText,
  evaluate,
  type Labels,
  type SelectorNode,
  withLabelPrefix,
} from "./node.ts";
import { parseNode } from "./parse.ts";

/** A selector that was read. Immutable. */
export class Selector {
  readonly root: SelectorNode;
  /** Its one text: two selectors with the same are the same to Calico. */
  readonly canonical: string;
  #uniqueId: string | undefined;
  #restrictions: LabelRestrictions | undefined;

  constructor(root: SelectorNode) {
    this.root = root;
    this.canonical = canonicalText(root);
  }

  /** `s:` and a hash of the canonical text: the id of its IP set. */
  get uniqueId(): string {
    this.#uniqueId ??= uniqueId("s", this.canonical);
    return this.#uniqueId;
  }

  /** What an index finds its candidates by. */
  get restrictions(): LabelRestrictions {
    this.#restrictions ??= labelRestrictions(this.root);
    return this.#restrictions;
  }

  matches(labels: Labels): boolean {
    return evaluate(this.root, labels);
  }

  /** The same over labels with a prefix before their names. */
  withLabelPrefix(prefix: string): Selector {
    return new Selector(withLabelPrefix(this.root, prefix));
  }
}

/** Reads a selector; an empty one is `all()`. @throws {@link SelectorError} with the message of Calico's parser */
export function parseSelector(text: string): Selector {
  return new Selector(parseNode(text));
}

/** The canonical text, or the text trimmed and else as it is where it cannot be read (`libcalico-go/lib/selector/selector.go` Normalise). */
export function normaliseSelector(text: string): string {
  const trimmed = text.trim();
  try {
    return parseSelector(trimmed).canonical;
  } catch {
    return trimmed;
  }
}
