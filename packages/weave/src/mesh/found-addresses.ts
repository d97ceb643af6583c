import type { PeerLink } from "./peer.ts";
import type { PeerName } from "./peer-name.ts";
import { MESH_PORT } from "./protocol.ts";

type Connections = ReadonlyMap<PeerName, PeerLink>;

/** Addresses that peers may be sought at, out of what others say of their connections to them; each as often as it is said. */
export class FoundAddresses {
  readonly #byPeer = new Map<PeerName, Map<string, number>>();
  #version = 0;

  /** Rises when an address comes or goes. */
  get version(): number {
    return this.#version;
  }

  of(peer: PeerName): Iterable<string> {
    return this.#byPeer.get(peer)?.keys() ?? [];
  }

  /** Somebody has these connections, in place of those. */
  replace(before: Connections | undefined, now: Connections | undefined): void {
    let kept = 0;
    for (const [remote, link] of now ?? []) {
      if (isSame(before?.get(remote), link)) kept++;
      else this.#count(remote, link, 1);
    }
    if (kept === (before?.size ?? 0)) return;
    for (const [remote, link] of before ?? []) {
      if (!isSame(now?.get(remote), link)) this.#count(remote, link, -1);
    }
  }

  #count(remote: PeerName, link: PeerLink, change: 1 | -1): void {
    const addresses = this.#byPeer.get(remote) ?? new Map<string, number>();
    this.#byPeer.set(remote, addresses);
    const address = soughtAt(link);
    const before = addresses.get(address) ?? 0;
    const count = before + change;
    if (before === 0 || count === 0) this.#version++;
    if (count > 0) addresses.set(address, count);
    else addresses.delete(address);
    if (addresses.size === 0) this.#byPeer.delete(remote);
  }
}

/** Where a connection came from is a port of that one connection: the peer itself is where all are. */
function soughtAt({ address, outbound }: PeerLink): string {
  return outbound ? address : `${address.slice(0, address.lastIndexOf(":"))}:${MESH_PORT}`;
}

function isSame(x: PeerLink | undefined, y: PeerLink): boolean {
  return x === y || (x?.address === y.address && x.outbound === y.outbound);
}
