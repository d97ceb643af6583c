/** Most names that one line tells. */
const MOST_NAMES = 5;

/** What was saved and the model does not have: one line for each kind and node. */
export class Unmodelled {
  readonly #byNode = new Map<string, Map<string, Set<string>>>();

  /** @param kind in the plural, as `bond devices` @param which name of this one */
  note(node: string, kind: string, which: string): void {
    let kinds = this.#byNode.get(node);
    if (kinds === undefined) {
      kinds = new Map();
      this.#byNode.set(node, kinds);
    }
    const names = kinds.get(kind);
    if (names === undefined) kinds.set(kind, new Set([which]));
    else names.add(which);
  }

  has(node: string, kind: string, which: string): boolean {
    return this.#byNode.get(node)?.get(kind)?.has(which) === true;
  }

  /** Of one node, sorted as they were met. */
  of(node: string): string[] {
    return [...(this.#byNode.get(node) ?? [])].map(([kind, names]) => {
      const named = [...names].slice(0, MOST_NAMES).join(", ");
      const more = names.size > MOST_NAMES ? ` and ${names.size - MOST_NAMES} more` : "";
      return `${kind}: ${named}${more}`;
    });
  }

  /** One line for each kind and node. */
  get lines(): string[] {
    return [...this.#byNode.keys()].flatMap((node) =>
      this.of(node).map((line) => `${node}: ${line}`),
    );
  }
}
