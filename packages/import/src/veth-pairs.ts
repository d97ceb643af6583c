import type { SavedLink } from "./saved-link.ts";
import type { SavedNamespace } from "./saved-namespace.ts";

/** One end of a cable. */
export interface VethEnd {
  readonly namespace: SavedNamespace;
  readonly link: SavedLink;
}

/**
 * Which veths of a machine belong together. A veth tells its peer's index, and the number that its own
 * namespace has for the peer's. Indexes repeat from namespace to namespace, so that several may fit: the
 * names of the numbers, where they were saved, and each pair that is certain rule others out.
 */
export function pairVeths(namespaces: readonly SavedNamespace[]): Map<SavedLink, VethEnd> {
  const pairs = new Map<SavedLink, VethEnd>();
  const left = new Set<VethEnd>();
  for (const namespace of namespaces) {
    for (const link of namespace.links) {
      if (link.kind === "veth") left.add({ namespace, link });
    }
  }
  const known = new KnownNamespaces(namespaces);
  const byIndexes = new Map<string, VethEnd[]>();
  for (const end of left) {
    const key = `${end.link.ifindex} ${end.link.linkIndex}`;
    const there = byIndexes.get(key);
    if (there === undefined) byIndexes.set(key, [end]);
    else there.push(end);
  }
  const candidates = ({ namespace, link }: VethEnd): VethEnd[] => {
    if (link.linkNetnsid === undefined) {
      const peer = namespace.links.find((other) => isAt(other, link) && isAt(link, other));
      return peer === undefined ? [] : [{ namespace, link: peer }];
    }
    return (byIndexes.get(`${link.linkIndex} ${link.ifindex}`) ?? []).filter(
      (other) =>
        left.has(other) &&
        other.namespace !== namespace &&
        other.link.linkNetnsid !== undefined &&
        known.allows(namespace, link.linkNetnsid as number, other.namespace) &&
        known.allows(other.namespace, other.link.linkNetnsid, namespace),
    );
  };
  for (let progress = true; progress; ) {
    progress = false;
    for (const end of left) {
      const [peer, another] = candidates(end);
      if (peer === undefined || another !== undefined || pairs.has(end.link)) continue;
      pairs.set(end.link, peer);
      pairs.set(peer.link, end);
      for (const each of left) if (pairs.has(each.link)) left.delete(each);
      known.learn(end, peer);
      known.learn(peer, end);
      progress = true;
    }
  }
  return pairs;
}

/** Whether `link` names or numbers `other` as its peer in the same namespace. */
function isAt(other: SavedLink, link: SavedLink): boolean {
  if (other === link || other.kind !== "veth" || link.linkNetnsid !== undefined) return false;
  return link.link === other.name || link.linkIndex === other.ifindex;
}

/** What the numbers of each namespace stand for. */
class KnownNamespaces {
  readonly #byNumber = new Map<SavedNamespace, Map<number, SavedNamespace>>();

  constructor(namespaces: readonly SavedNamespace[]) {
    for (const namespace of namespaces) {
      const numbers = new Map<number, SavedNamespace>();
      for (const [number, name] of namespace.nsids) {
        const there = namespaces.find((other) => other.name === name);
        if (there !== undefined) numbers.set(number, there);
      }
      this.#byNumber.set(namespace, numbers);
    }
  }

  /** Whether `number` of `from` may stand for `to`. */
  allows(from: SavedNamespace, number: number, to: SavedNamespace): boolean {
    if (number < 0) return true;
    const numbers = this.#byNumber.get(from);
    const known = numbers?.get(number);
    if (known !== undefined) return known === to;
    return ![...(numbers?.values() ?? [])].includes(to);
  }

  learn(from: VethEnd, to: VethEnd): void {
    const { linkNetnsid } = from.link;
    if (linkNetnsid !== undefined && linkNetnsid >= 0) {
      this.#byNumber.get(from.namespace)?.set(linkNetnsid, to.namespace);
    }
  }
}
