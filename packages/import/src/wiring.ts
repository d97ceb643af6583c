import { type Network, Segment } from "@cnilab/linux";
import {
  addressBits,
  familyOf,
  type IpAddress,
  isLinkLocal,
  isLoopback,
  type Mac,
  Prefix,
} from "@cnilab/net";
import type { SavedAddress } from "./address-list.ts";
import { defaultGateways } from "./routes.ts";
import type { SavedLink } from "./saved-link.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import { cardKind, hasAddress, holdersOf, type SavedNode } from "./saved-node.ts";

/** A gateway that none of the saved machines is. */
export interface OutsideGateway {
  readonly address: IpAddress;
  readonly prefixLength: number;
  /** As its neighbours know it. */
  readonly mac: Mac | undefined;
}

/** One broadcast domain that the saved machines' cards are plugged into. */
export interface Wire {
  readonly segment: Segment;
  readonly gateways: OutsideGateway[];
  /** Addresses on it that no prefix of a gateway's holds, as clouds hand them out. */
  readonly singles: IpAddress[];
}

interface Card {
  readonly namespace: SavedNamespace;
  readonly link: SavedLink;
  readonly addresses: readonly SavedAddress[];
  readonly gateways: readonly IpAddress[];
}

/**
 * Which cards are on one wire, which no machine can tell: those are taken to be whose addresses are of
 * one network, or who have the same default gateway. A card without either is alone on its wire.
 */
export function wire(network: Network, nodes: readonly SavedNode[]): Map<SavedLink, Wire> {
  const groups = new Groups();
  const cards = nodes.flatMap(cardsOf);
  cards.forEach((card, i) => {
    const own = `card ${i}`;
    for (const key of networksOf(card)) groups.join(own, key);
  });
  const wires = new Map<string, Wire>();
  const byLink = new Map<SavedLink, Wire>();
  cards.forEach((card, i) => {
    const group = groups.of(`card ${i}`);
    let its = wires.get(group);
    if (its === undefined) {
      const name = wires.size === 0 ? "underlay" : `underlay${wires.size + 1}`;
      its = { segment: new Segment(network, name), gateways: [], singles: [] };
      wires.set(group, its);
    }
    byLink.set(card.link, its);
    addGateways(its, card, nodes);
  });
  return byLink;
}

function cardsOf(node: SavedNode): Card[] {
  return node.namespaces.flatMap((namespace) => {
    const ways = defaultGateways(namespace);
    return namespace.links
      .filter((link) => cardKind(node, namespace, link) !== undefined)
      .map((link) => {
        const holders = holdersOf(node, namespace, link);
        const addresses = node.addresses.get(namespace) ?? [];
        return {
          namespace,
          link,
          addresses: addresses.filter((a) => holders.includes(a.dev) && isGlobal(a.address)),
          gateways: ways.filter(({ dev }) => holders.includes(dev)).map((way) => way.gateway),
        };
      });
  });
}

function networksOf({ addresses, gateways }: Card): string[] {
  return [
    ...addresses
      .filter((a) => a.prefixLength < addressBits(familyOf(a.address)))
      .map((a) => String(new Prefix(a.address, a.prefixLength))),
    ...gateways.filter((g) => !isLinkLocal(g)).map((g) => `via ${Prefix.host(g)}`),
  ];
}

function addGateways(wire: Wire, card: Card, nodes: readonly SavedNode[]): void {
  for (const address of card.gateways) {
    const known = wire.gateways.some((g) => g.address === address);
    if (known || (!isLinkLocal(address) && hasAddress(nodes, address))) continue;
    const holder = card.addresses.find((a) => prefixOf(a).contains(address));
    wire.gateways.push({
      address,
      prefixLength: isLinkLocal(address) ? 64 : (holder?.prefixLength ?? bitsOf(address)),
      mac: macOf(card.namespace, address),
    });
  }
  for (const { address, prefixLength } of card.addresses) {
    if (prefixLength === bitsOf(address)) wire.singles.push(address);
  }
}

function prefixOf({ address, prefixLength }: SavedAddress): Prefix {
  return new Prefix(address, prefixLength);
}

function bitsOf(address: IpAddress): number {
  return addressBits(familyOf(address));
}

function isGlobal(address: IpAddress): boolean {
  return !isLoopback(address) && !isLinkLocal(address);
}

function macOf({ files }: SavedNamespace, address: IpAddress): Mac | undefined {
  return files
    .objects("neigh.json")
    .find((fields) => fields.addressOr("dst") === address)
    ?.macOr("lladdr");
}

/** Things that belong together by what they have in common. */
class Groups {
  readonly #parents = new Map<string, string>();

  of(key: string): string {
    const parent = this.#parents.get(key);
    return parent === undefined ? key : this.of(parent);
  }

  join(x: string, y: string): void {
    const [a, b] = [this.of(x), this.of(y)];
    if (a !== b) this.#parents.set(a, b);
  }
}
