/** Something that a `HashChains` holds. */
export interface Hashed<T> {
  readonly hash: number;
  /** The next one in its chain; belongs to the table. */
  next: T | undefined;
}

/** Chains at first; their number grows with what they hold, so that they stay short. */
const MIN_CHAINS = 16;

/** A hash table of objects that know their hash (`struct hlist_head[]`). Who looks something up walks one chain. */
export class HashChains<T extends Hashed<T>> {
  #chains: (T | undefined)[] = new Array(MIN_CHAINS).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The newest object of those that may have this hash. */
  chain(hash: number): T | undefined {
    return this.#chains[hash & (this.#chains.length - 1)];
  }

  add(item: T): void {
    if (this.#size === this.#chains.length) this.#grow();
    this.#size++;
    link(this.#chains, item);
  }

  /** False where it is not in here. */
  delete(item: T): boolean {
    const at = item.hash & (this.#chains.length - 1);
    let before: T | undefined;
    for (let each = this.#chains[at]; each !== undefined; each = each.next) {
      if (each === item) {
        if (before === undefined) this.#chains[at] = item.next;
        else before.next = item.next;
        item.next = undefined;
        this.#size--;
        return true;
      }
      before = each;
    }
    return false;
  }

  /** In no order that means anything. */
  *[Symbol.iterator](): Generator<T> {
    for (const first of this.#chains) {
      for (let each = first; each !== undefined; each = each.next) yield each;
    }
  }

  #grow(): void {
    const old = this.#chains;
    this.#chains = new Array(2 * old.length).fill(undefined);
    for (const first of old) {
      const chain: T[] = [];
      for (let each = first; each !== undefined; each = each.next) chain.push(each);
      // From the oldest on, so that the order in each chain stays.
      for (const item of chain.reverse()) link(this.#chains, item);
    }
  }
}

function link<T extends Hashed<T>>(chains: (T | undefined)[], item: T): void {
  const at = item.hash & (chains.length - 1);
  item.next = chains[at];
  chains[at] = item;
}
