/**
 * Nodes that suit pods with the same demands, by how many pods they run. Takes the node with the
 * fewest pods of the same owner, among these the one with the fewest pods, among these the one that
 * has waited longest: constant time a pod while an owner's pods are spread evenly.
 */
export class NodePool {
  /** Nodes with so many pods each. */
  readonly #byLoad: Set<string>[] = [];
  readonly #load = new Map<string, number>();
  #least = 0;
  readonly #owners = new Map<string, OwnerSpread>();

  get size(): number {
    return this.#load.size;
  }

  has(node: string): boolean {
    return this.#load.has(node);
  }

  add(node: string, load: number): void {
    this.#load.set(node, load);
    this.#bucket(load).add(node);
    this.#least = Math.min(this.#least, load);
  }

  remove(node: string): void {
    const load = this.#load.get(node);
    if (load === undefined) return;
    this.#load.delete(node);
    this.#byLoad[load]?.delete(node);
    for (const spread of this.#owners.values()) spread.forget(node);
  }

  /** The node for the next pod of `owner`, out of those that are `free` for it. */
  choose(owner: string, free: (node: string) => boolean): string | undefined {
    const spread = this.#owners.get(owner);
    const least = spread === undefined ? 0 : spread.least(this.#load.size);
    let best: string | undefined;
    let bestCount = Number.POSITIVE_INFINITY;
    while (this.#least < this.#byLoad.length && this.#byLoad[this.#least]?.size === 0)
      this.#least++;
    for (let load = this.#least; load < this.#byLoad.length; load++) {
      for (const node of this.#byLoad[load] as Set<string>) {
        const count = spread?.count(node) ?? 0;
        if (count >= bestCount || !free(node)) continue;
        if (count <= least) return node;
        best = node;
        bestCount = count;
      }
    }
    return best;
  }

  /** A pod of `owner` was bound to a node, or (-1) left it. */
  changed(node: string, owner: string, change: 1 | -1): void {
    const load = this.#load.get(node);
    if (load === undefined) return;
    this.#byLoad[load]?.delete(node);
    this.#load.set(node, load + change);
    this.#bucket(load + change).add(node);
    this.#least = Math.min(this.#least, load + change);
    let spread = this.#owners.get(owner);
    if (spread === undefined) {
      if (change < 0) return;
      spread = new OwnerSpread();
      this.#owners.set(owner, spread);
    }
    spread.changed(node, change);
    if (spread.isEmpty) this.#owners.delete(owner);
  }

  #bucket(load: number): Set<string> {
    while (this.#byLoad.length <= load) this.#byLoad.push(new Set());
    return this.#byLoad[load] as Set<string>;
  }
}

/** How many pods of one owner each node has. */
class OwnerSpread {
  readonly #counts = new Map<string, number>();
  /** How many nodes have so many. */
  readonly #nodesWith: number[] = [0];

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  count(node: string): number {
    return this.#counts.get(node) ?? 0;
  }

  /** The least count among all `nodes` of the pool. */
  least(nodes: number): number {
    if (this.#counts.size < nodes) return 0;
    for (let n = 1; n < this.#nodesWith.length; n++) if (this.#nodesWith[n] !== 0) return n;
    return 0;
  }

  changed(node: string, change: 1 | -1): void {
    const count = this.count(node);
    if (count > 0) this.#nodesWith[count] = (this.#nodesWith[count] as number) - 1;
    const next = count + change;
    if (next > 0) {
      this.#counts.set(node, next);
      this.#nodesWith[next] = (this.#nodesWith[next] ?? 0) + 1;
    } else {
      this.#counts.delete(node);
    }
  }

  forget(node: string): void {
    const count = this.#counts.get(node);
    if (count === undefined) return;
    this.#nodesWith[count] = (this.#nodesWith[count] as number) - 1;
    this.#counts.delete(node);
  }
}
