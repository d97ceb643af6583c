/** A prefix of bits: the first `prefixLength` ones of 32-bit words, the most significant first. */
export interface LpmKey {
  readonly prefixLength: number;
  readonly words: readonly number[];
}

class Node<V> {
  readonly key: LpmKey;
  /** `undefined` for a fork that nobody has put there. */
  value: V | undefined;
  zero: Node<V> | undefined = undefined;
  one: Node<V> | undefined = undefined;

  constructor(key: LpmKey, value: V | undefined) {
    this.key = key;
    this.value = value;
  }
}

/** Prefixes of any bits, found by the longest that fits: a trie whose single ways are not kept (kernel/bpf/lpm_trie.c). */
export class LpmTrie<V> {
  readonly #bits: number;
  #root: Node<V> | undefined = undefined;
  #size = 0;

  /** @param bits of the longest prefix */
  constructor(bits: number) {
    this.#bits = bits;
  }

  get size(): number {
    return this.#size;
  }

  /** Whether a prefix is no longer than this trie's bits. */
  fits({ prefixLength }: LpmKey): boolean {
    return prefixLength >= 0 && prefixLength <= this.#bits;
  }

  /** The value of the longest prefix that `key`, which may be no full one itself, begins with (`trie_lookup_elem`). */
  lookup(key: LpmKey): V | undefined {
    let best: V | undefined;
    for (let node = this.#root; node !== undefined; node = childOf(node, key)) {
      if (commonBits(node.key, key) < node.key.prefixLength) break;
      if (node.value !== undefined) best = node.value;
      if (node.key.prefixLength === key.prefixLength) break;
    }
    return best;
  }

  /** Values of all prefixes that `key` begins with, shortest first. */
  matches(key: LpmKey): V[] {
    const found: V[] = [];
    for (let node = this.#root; node !== undefined; node = childOf(node, key)) {
      if (commonBits(node.key, key) < node.key.prefixLength) break;
      if (node.value !== undefined) found.push(node.value);
      if (node.key.prefixLength === key.prefixLength) break;
    }
    return found;
  }

  /** The value of exactly this prefix. */
  get(key: LpmKey): V | undefined {
    let node = this.#root;
    while (node !== undefined) {
      const { prefixLength } = node.key;
      if (prefixLength > key.prefixLength || commonBits(node.key, key) < prefixLength)
        return undefined;
      if (prefixLength === key.prefixLength) return node.value;
      node = childOf(node, key);
    }
    return undefined;
  }

  set(key: LpmKey, value: V): void {
    this.#root = this.#with(this.#root, key, value);
  }

  #with(node: Node<V> | undefined, key: LpmKey, value: V): Node<V> {
    if (node === undefined) {
      this.#size++;
      return new Node(key, value);
    }
    const common = commonBits(node.key, key);
    if (common === node.key.prefixLength && common === key.prefixLength) {
      if (node.value === undefined) this.#size++;
      node.value = value;
      return node;
    }
    if (common === node.key.prefixLength) {
      if (bitAt(key, common) === 0) node.zero = this.#with(node.zero, key, value);
      else node.one = this.#with(node.one, key, value);
      return node;
    }
    this.#size++;
    const added = new Node<V>(key, value);
    const above =
      common === key.prefixLength
        ? added
        : new Node<V>({ prefixLength: common, words: key.words }, undefined);
    if (bitAt(node.key, common) === 0) above.zero = node;
    else above.one = node;
    if (above !== added) {
      if (bitAt(key, common) === 0) above.zero = added;
      else above.one = added;
    }
    return above;
  }

  /** Takes out exactly this prefix; whether it was there. */
  delete(key: LpmKey): boolean {
    const before = this.#size;
    this.#root = this.#without(this.#root, key);
    return this.#size < before;
  }

  #without(node: Node<V> | undefined, key: LpmKey): Node<V> | undefined {
    if (node === undefined) return undefined;
    const { prefixLength } = node.key;
    if (prefixLength > key.prefixLength || commonBits(node.key, key) < prefixLength) return node;
    if (prefixLength < key.prefixLength) {
      if (bitAt(key, prefixLength) === 0) node.zero = this.#without(node.zero, key);
      else node.one = this.#without(node.one, key);
    } else if (node.value !== undefined) {
      node.value = undefined;
      this.#size--;
    }
    if (node.value !== undefined || (node.zero !== undefined && node.one !== undefined))
      return node;
    return node.zero ?? node.one;
  }

  /** All values, in order of their prefixes, wider ones first. */
  *values(): Iterable<V> {
    const waiting: Node<V>[] = this.#root === undefined ? [] : [this.#root];
    for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
      if (node.value !== undefined) yield node.value;
      if (node.one !== undefined) waiting.push(node.one);
      if (node.zero !== undefined) waiting.push(node.zero);
    }
  }
}

function childOf<V>(node: Node<V>, key: LpmKey): Node<V> | undefined {
  return bitAt(key, node.key.prefixLength) === 0 ? node.zero : node.one;
}

function bitAt({ words }: LpmKey, at: number): 0 | 1 {
  return (((words[at >>> 5] ?? 0) >>> (31 - (at & 31))) & 1) as 0 | 1;
}

/** How many leading bits two prefixes share, of the shorter one's. */
function commonBits(a: LpmKey, b: LpmKey): number {
  const most = Math.min(a.prefixLength, b.prefixLength);
  for (let word = 0; word * 32 < most; word++) {
    const different = (a.words[word] ?? 0) ^ (b.words[word] ?? 0);
    if (different !== 0) return Math.min(most, word * 32 + Math.clz32(different));
  }
  return most;
}
