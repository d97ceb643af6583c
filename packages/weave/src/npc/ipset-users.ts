import type { Ipsets } from "@cnilab/linux";
import type { NpcSharing } from "./npc-sharing.ts";
import { SetEntries } from "./set-entries.ts";

export type SetType = "hash:ip" | "hash:net" | "list:set";

/** `--max-list-size`: namespaces that a selector may find. */
const MAX_LIST_SIZE = 1024;

/**
 * Sets of the kernel whose entries several may want at once: pods of one address, where events of the API come in another order than things
 * happened (net/ipset/ipset.go). An entry goes with the last that wants it.
 *
 * Nodes whose sets came to be by the same changes have their entries together, and the kernels' sets their elements; one that somebody
 * else touched gets what weave-npc does to it, and no more.
 */
export class IpsetUsers {
  readonly #ipsets: Ipsets;
  readonly #sharing: NpcSharing | undefined;
  readonly #sets = new Map<string, SetEntries>();

  /** @param sharing where there are other nodes */
  constructor(ipsets: Ipsets, sharing?: NpcSharing) {
    this.#ipsets = ipsets;
    this.#sharing = sharing;
  }

  create(name: string, type: SetType): void {
    const size = type === "list:set" ? ` size ${MAX_LIST_SIZE}` : "";
    this.#ipsets.run(`create ${name} ${type}${size} comment`);
    if (this.#sharing === undefined || type === "list:set" || this.#sets.has(name)) return;
    const entries = this.#sharing.entriesOf(name);
    const set = this.#ipsets.find(name);
    if (entries.elements === undefined) entries.elements = set?.share();
    else set?.adopt(entries.elements);
    this.#sets.set(name, entries);
  }

  destroy(name: string): void {
    this.#sets.delete(name);
    this.#ipsets.run(`destroy ${name}`);
  }

  add(user: string, name: string, entry: string, comment: string): void {
    const before = this.#sets.get(name) ?? new SetEntries();
    const after = before.add(user, entry, comment);
    this.#sets.set(name, after);
    if (before.has(entry)) return;
    this.#program(name, before, after, `add ${name} ${entry} comment "${comment}"`);
  }

  delete(user: string, name: string, entry: string): void {
    const before = this.#sets.get(name);
    if (before === undefined) return;
    const after = before.delete(user, entry);
    this.#sets.set(name, after);
    if (after.has(entry) || !before.has(entry)) return;
    this.#program(name, before, after, `del ${name} ${entry}`);
  }

  has(user: string, name: string, entry: string): boolean {
    return this.#sets.get(name)?.has(entry, user) === true;
  }

  /** By what another node has come to, where this one's set is as weave-npc left it. */
  #program(name: string, before: SetEntries, after: SetEntries, line: string): void {
    const { elements } = before;
    const set = elements === undefined ? undefined : this.#ipsets.find(name);
    const isOurs = set?.isShareable === true && set.share() === elements;
    if (isOurs && after.elements !== undefined) {
      set.adopt(after.elements);
      return;
    }
    this.#ipsets.run(line);
    if (isOurs) after.elements = set.share();
  }
}
