import type { HostFiles } from "@cnilab/core";
import type { PersistedIpam } from "../ipam/allocator.ts";
import type { Owned } from "../ipam/owned-addresses.ts";
import type { RingState } from "../ipam/ring.ts";
import type { PeerName } from "../mesh/peer-name.ts";

/** `--db-prefix /weavedb/weave-net`, which is on the node's disk at /var/lib/weave. */
const DATABASE_FILE = "/var/lib/weave/weave-netdata.db";

/** As it is in the file; the real one is BoltDB, with these as its values. */
interface Contents {
  readonly peername: PeerName;
  readonly ring: RingState;
  readonly ownedAddresses: readonly (readonly [string, Owned])[];
}

/** What a peer keeps over restarts: its ring, and who has which of its addresses (db/boltdb.go). */
export class WeaverDatabase {
  readonly #files: HostFiles;
  readonly #name: PeerName;

  constructor(files: HostFiles, name: PeerName) {
    this.#files = files;
    this.#name = name;
  }

  /** `undefined` where there is none, or it is of a peer of another name: that does not count (router/network_router.go). */
  load(): PersistedIpam | undefined {
    const text = this.#files.read(DATABASE_FILE);
    if (text === undefined) return undefined;
    const { peername, ring, ownedAddresses } = JSON.parse(text) as Contents;
    return peername === this.#name ? { ring, owned: new Map(ownedAddresses) } : undefined;
  }

  /** Nobody reads it before the next start: until then it is no text. */
  save({ ring, owned }: PersistedIpam): void {
    const contents: Contents = { peername: this.#name, ring, ownedAddresses: [...owned] };
    this.#files.write(DATABASE_FILE, { text: () => JSON.stringify(contents) });
  }

  get exists(): boolean {
    return this.#files.read(DATABASE_FILE) !== undefined;
  }

  remove(): void {
    this.#files.remove(DATABASE_FILE);
  }
}
