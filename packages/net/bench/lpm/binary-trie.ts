import { Prefix } from "../../src/index.ts";
import type { Contender } from "./contender.ts";

interface Node {
  readonly key: number;
  readonly length: number;
  value: number | undefined;
  left: Node | undefined;
  right: Node | undefined;
}

/** A path-compressed binary trie of objects. */
export class BinaryTrie implements Contender {
  #root: Node = newNode(0, 0, undefined);

  set(prefix: Prefix, value: number): void {
    this.#root = inserted(this.#root, prefix.address as number, prefix.length, value);
  }

  lookup(address: number): number | undefined {
    let best: number | undefined;
    let node: Node | undefined = this.#root;
    while (node !== undefined && commonBits(node.key, address, node.length) === node.length) {
      if (node.value !== undefined) best = node.value;
      node = bit(address, node.length) === 0 ? node.left : node.right;
    }
    return best;
  }
}

function inserted(node: Node | undefined, key: number, length: number, value: number): Node {
  if (node === undefined) return newNode(key, length, value);
  const common = commonBits(node.key, key, Math.min(node.length, length));
  if (common === node.length && common === length) {
    node.value = value;
    return node;
  }
  if (common === node.length) {
    if (bit(key, common) === 0) node.left = inserted(node.left, key, length, value);
    else node.right = inserted(node.right, key, length, value);
    return node;
  }
  const shared = new Prefix(key, common).address as number;
  const fork = newNode(shared, common, common === length ? value : undefined);
  hang(fork, node);
  if (common < length) hang(fork, newNode(key, length, value));
  return fork;
}

function hang(parent: Node, child: Node): void {
  if (bit(child.key, parent.length) === 0) parent.left = child;
  else parent.right = child;
}

function newNode(key: number, length: number, value: number | undefined): Node {
  return { key, length, value, left: undefined, right: undefined };
}

function bit(key: number, at: number): number {
  return (key >>> (31 - at)) & 1;
}

function commonBits(x: number, y: number, most: number): number {
  return Math.min(most, Math.clz32(x ^ y));
}
