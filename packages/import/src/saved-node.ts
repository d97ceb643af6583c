import { InputError } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import { readAddresses, type SavedAddress } from "./address-list.ts";
import { foldersIn, type SavedFiles } from "./saved-files.ts";
import { LINKS, type SavedLink } from "./saved-link.ts";
import {
  LISTED,
  readNamespaces,
  type SavedNamespace,
  type SavedNamespaces,
} from "./saved-namespace.ts";
import { pairVeths, type VethEnd } from "./veth-pairs.ts";

/** One machine as it was saved. */
export interface SavedNode extends SavedNamespaces {
  readonly name: string;
  readonly addresses: ReadonlyMap<SavedNamespace, readonly SavedAddress[]>;
  /** Both ends of each cable by each of its links. */
  readonly pairs: ReadonlyMap<SavedLink, VethEnd>;
}

/** What a device is taken for that is no piece of its machine's own. */
export type CardKind = "card" | "bond" | "team" | "vlan";

/** All machines of a folder. @throws InputError where there is none, or one was not read */
export function readNodes(files: SavedFiles): SavedNode[] {
  const folders = foldersIn(files, "");
  const names = folders.filter((name) => files.has(`${name}/${LINKS}`));
  const unread = folders.find((name) => files.has(`${name}/${LISTED}`) && !names.includes(name));
  if (unread !== undefined) {
    const mend = "collect it again where `ip -d -j link` works, or take the folder away";
    throw new InputError(`has no ${LINKS}; ${mend}`, unread);
  }
  if (names.length === 0) {
    throw new InputError(
      `there is no node in it: each is a folder with ${LINKS}, as the collect script makes them`,
    );
  }
  return names.map((name) => {
    const { namespaces, unread } = readNamespaces(files, name);
    return {
      name,
      namespaces,
      unread,
      addresses: new Map(namespaces.map((n) => [n, readAddresses(n)])),
      pairs: pairVeths(namespaces),
    };
  });
}

/**
 * Whether a device leads out of the machine: hardware, what is stacked on it, and a cable with an address whose
 * other end nobody has seen, where the machine is a container itself.
 */
export function cardKind(
  node: SavedNode,
  namespace: SavedNamespace,
  link: SavedLink,
): CardKind | undefined {
  if (link.flags.has("LOOPBACK")) return undefined;
  switch (link.kind) {
    case undefined:
      return "card";
    case "bond":
    case "team":
    case "vlan":
      return link.kind;
    case "veth": {
      if (namespace.name !== "" || node.pairs.has(link)) return undefined;
      const isAddressed = node.addresses.get(namespace)?.some((a) => a.dev === link.name);
      // A port of a bridge without addresses is a pod's, which was not collected.
      return isAddressed && link.master === undefined ? "card" : undefined;
    }
    default:
      return undefined;
  }
}

/** Devices by whose addresses a card is reached: itself, and the bridge whose first card it is. */
export function holdersOf(
  node: SavedNode,
  namespace: SavedNamespace,
  link: SavedLink,
): readonly string[] {
  const { links } = namespace;
  const bridge = links.find(({ name, kind }) => name === link.master && kind === "bridge");
  if (bridge === undefined) return [link.name];
  // Two cards of one bridge on one wire would be a loop.
  const first = links.find(
    (other) => other.master === bridge.name && cardKind(node, namespace, other) !== undefined,
  );
  return first === link ? [link.name, bridge.name] : [link.name];
}

/** Whether a device of any machine has an address. */
export function hasAddress(nodes: readonly SavedNode[], address: IpAddress): boolean {
  return nodes.some((node) =>
    [...node.addresses.values()].some((list) => list.some((a) => a.address === address)),
  );
}
