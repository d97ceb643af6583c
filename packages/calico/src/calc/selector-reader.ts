import type { ModelRule } from "../conversion/model.ts";
import { parseSelector, type Selector } from "../selector/selector.ts";

/** Selectors that are kept once they were read. */
const MAX_READ = 20_000;

/** Reads selectors, of which many policies have the same. */
export class SelectorReader {
  readonly #read = new Map<string, Selector>();

  /** @throws SelectorError */
  read(text: string): Selector {
    let selector = this.#read.get(text);
    if (selector === undefined) {
      selector = parseSelector(text);
      if (this.#read.size >= MAX_READ) this.#read.clear();
      this.#read.set(text, selector);
    }
    return selector;
  }

  /** @throws SelectorError for a rule that could not be scanned */
  check(rules: readonly ModelRule[]): void {
    for (const { source, destination } of rules) {
      for (const { selector, notSelector } of [source, destination]) {
        if (selector !== undefined) this.read(selector);
        if (notSelector !== undefined) this.read(notSelector);
      }
    }
  }
}
