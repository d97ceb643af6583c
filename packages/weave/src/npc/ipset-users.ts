import type { Ipsets } from "@cnilab/linux";

export type SetType = "hash:ip" | "hash:net" | "list:set";

/** `--max-list-size`: namespaces that a selector may find. */
const MAX_LIST_SIZE = 1024;

/**
 * Sets of the kernel whose entries several may want at once: pods of one address, where events of the API come in another order than things
 * happened (net/ipset/ipset.go). An entry goes with the last that wants it.
 */
export class IpsetUsers {
  readonly #ipsets: Ipsets;
  /** Who wants it, by set and entry. */
  readonly #users = new Map<string, Map<string, Set<string>>>();

  constructor(ipsets: Ipsets) {
    this.#ipsets = ipsets;
  }

  create(name: string, type: SetType): void {
    const size = type === "list:set" ? ` size ${MAX_LIST_SIZE}` : "";
    this.#ipsets.run(`create ${name} ${type}${size} comment`);
  }

  destroy(name: string): void {
    this.#users.delete(name);
    this.#ipsets.run(`destroy ${name}`);
  }

  add(user: string, name: string, entry: string, comment: string): void {
    const entries = this.#users.get(name) ?? new Map<string, Set<string>>();
    this.#users.set(name, entries);
    const users = entries.get(entry);
    if (users === undefined) {
      entries.set(entry, new Set([user]));
      this.#ipsets.run(`add ${name} ${entry} comment "${comment}"`);
    } else users.add(user);
  }

  delete(user: string, name: string, entry: string): void {
    const entries = this.#users.get(name);
    const users = entries?.get(entry);
    if (entries === undefined || users === undefined) return;
    // Where the last one is another, that one keeps it.
    if (!users.delete(user) || users.size > 0) return;
    entries.delete(entry);
    this.#ipsets.run(`del ${name} ${entry}`);
  }

  has(user: string, name: string, entry: string): boolean {
    return this.#users.get(name)?.get(entry)?.has(user) === true;
  }
}
