/** How many labels the `*` of a wildcard stands for: an Ingress's for exactly one, a Gateway's for any number. */
export type WildcardDepth = "one label" | "any labels";

/** The host of a Host header: in lower case, without port and without the root's dot (RFC 9110 §4.2.3). */
export function hostOf(header: string): string {
  const bare = header.startsWith("[")
    ? header.slice(0, header.indexOf("]") + 1)
    : header.replace(/:[0-9]*$/, "");
  return bare.toLowerCase().replace(/\.$/, "");
}

/** Whether a precise name or a wildcard stands for a name; both in lower case. */
export function hostMatches(pattern: string, host: string, depth: WildcardDepth): boolean {
  if (!pattern.startsWith("*.")) return pattern === host;
  const suffix = pattern.slice(1);
  const labels = host.length - suffix.length;
  if (labels <= 0 || !host.endsWith(suffix)) return false;
  return depth === "any labels" || !host.slice(0, labels).includes(".");
}

/** Values by host names, wildcards, and the empty name for any host; found without looking at all of them. */
export class HostIndex<T> {
  readonly #precise = new Map<string, T>();
  /** By the wildcard without its star, as `.example.com`. */
  readonly #wildcards = new Map<string, T>();
  readonly #depth: WildcardDepth;
  #any: T | undefined;

  constructor(depth: WildcardDepth) {
    this.#depth = depth;
  }

  get(pattern: string): T | undefined {
    if (pattern === "") return this.#any;
    return pattern.startsWith("*.")
      ? this.#wildcards.get(pattern.slice(1))
      : this.#precise.get(pattern);
  }

  set(pattern: string, value: T): void {
    if (pattern === "") this.#any = value;
    else if (pattern.startsWith("*.")) this.#wildcards.set(pattern.slice(1), value);
    else this.#precise.set(pattern, value);
  }

  /** The value of a pattern, made where there is none. */
  at(pattern: string, make: () => T): T {
    let value = this.get(pattern);
    if (value === undefined) {
      value = make();
      this.set(pattern, value);
    }
    return value;
  }

  /** All that stand for a host: the precise one, wildcards from the longest, the one for any host. */
  *matches(host: string): Generator<T, void, undefined> {
    const precise = this.#precise.get(host);
    if (precise !== undefined) yield precise;
    if (this.#wildcards.size > 0) {
      for (let dot = host.indexOf("."); dot > 0; dot = host.indexOf(".", dot + 1)) {
        const wildcard = this.#wildcards.get(host.slice(dot));
        if (wildcard !== undefined) yield wildcard;
        if (this.#depth === "one label") break;
      }
    }
    if (this.#any !== undefined) yield this.#any;
  }

  /** The most specific one. */
  find(host: string): T | undefined {
    for (const value of this.matches(host)) return value;
    return undefined;
  }

  *values(): Generator<T, void, undefined> {
    yield* this.#precise.values();
    yield* this.#wildcards.values();
    if (this.#any !== undefined) yield this.#any;
  }
}
