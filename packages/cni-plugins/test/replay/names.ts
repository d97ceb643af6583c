import type { Expected, NamespaceState, Printed, State } from "./case.ts";

const VETH = /\bveth[0-9a-f]{8}\b/g;
const MAC = /\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b/g;
const PLACEHOLDER = /<(?:veth|mac)[0-9]+>/g;

/** What happened in a replay, with the names and MACs that chance gave. */
export interface Actual {
  readonly steps: readonly { readonly plugins: readonly Printed[]; readonly state?: State }[];
  readonly final: State;
}

/** Which `<veth0>` and `<mac3>` of the recording stands for which name and MAC of the replay. */
export class Names {
  readonly #names = new Map<string, string>();

  /** Walks both side by side: what plugins printed, then the links of every state. */
  static learn(expected: Expected, actual: Actual): Names {
    const names = new Names();
    for (const [i, step] of expected.steps.entries()) {
      for (const [j, printed] of step.plugins.entries()) {
        names.#walk(printed.stdout, actual.steps[i]?.plugins[j]?.stdout);
      }
    }
    for (const [i, { state }] of expected.steps.entries()) {
      if (state !== undefined) names.#learnStates(state, actual.steps[i]?.state);
    }
    names.#learnStates(expected.final, actual.final);
    return names;
  }

  /** The same with placeholders. Names that nothing stands for stay as they are. */
  replace<T>(value: T): T {
    const text = JSON.stringify(value);
    if (text === undefined) return value;
    const placeholder = (name: string) => this.#names.get(name) ?? name;
    return JSON.parse(text.replace(VETH, placeholder).replace(MAC, placeholder)) as T;
  }

  /** The placeholder of a name of the replay, or the name of a placeholder. */
  original(text: string): string {
    for (const [name, placeholder] of this.#names) if (placeholder === text) return name;
    return text;
  }

  #learnStates(expected: State, actual: State | undefined): void {
    for (const [namespace, state] of Object.entries(expected)) {
      this.#learnLinks(state, actual?.[namespace]);
    }
  }

  /** Links that the plugins did not tell of are paired in the order of their making. */
  #learnLinks(expected: NamespaceState, actual: NamespaceState | undefined): void {
    const there = [...(actual?.links ?? [])];
    const unknown: (typeof there)[number][] = [];
    for (const link of expected.links) {
      const at = there.findIndex((l) => this.replace(l["ifname"]) === link["ifname"]);
      const [match] = at < 0 ? [] : there.splice(at, 1);
      if (match === undefined) unknown.push(link);
      else this.#walk(link["address"], match["address"]);
    }
    for (const link of unknown) {
      const at = there.findIndex((l) => String(l["ifname"]).match(VETH) !== null);
      const [match] = at < 0 ? [] : there.splice(at, 1);
      if (match === undefined) continue;
      this.#walk(link["ifname"], match["ifname"]);
      this.#walk(link["address"], match["address"]);
    }
  }

  #walk(expected: unknown, actual: unknown): void {
    if (typeof expected === "string" && typeof actual === "string") {
      this.#learnText(expected, actual);
    } else if (expected !== null && typeof expected === "object" && typeof actual === "object") {
      for (const [key, value] of Object.entries(expected)) {
        this.#walk(value, (actual as Record<string, unknown> | null)?.[key]);
      }
    }
  }

  #learnText(expected: string, actual: string): void {
    const placeholders = expected.match(PLACEHOLDER);
    if (placeholders === null) return;
    const pattern = expected
      .split(PLACEHOLDER)
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
      .join("(veth[0-9a-f]{8}|[0-9a-f:]{17})");
    const found = new RegExp(`^${pattern}$`).exec(actual);
    for (const [i, placeholder] of placeholders.entries()) {
      const name = found?.[i + 1];
      if (name !== undefined && !this.#names.has(name)) this.#names.set(name, placeholder);
    }
  }
}
