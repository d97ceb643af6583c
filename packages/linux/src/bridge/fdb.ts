import { formatMac, type Mac } from "@cnilab/net";
import { KernelError } from "../kernel-error.ts";
import type { Network } from "../network.ts";
import type { BridgePort } from "./bridge-port.ts";

/** One MAC in a bridge's forwarding database (`struct net_bridge_fdb_entry`). */
export interface FdbEntry {
  readonly mac: Mac;
  /** The port behind which it is; `undefined` for the bridge's own. */
  port: BridgePort | undefined;
  /** An address of the bridge or of a port: frames for it go up. */
  readonly local: boolean;
  /** Does not age. Local entries and those set by hand. */
  readonly isStatic: boolean;
  /** Virtual milliseconds when it was last learned. */
  updated: number;
}

/** The forwarding database of one bridge. */
export class Fdb {
  readonly #network: Network;
  readonly #entries = new Map<Mac, FdbEntry>();
  /** Milliseconds after which a learned entry is forgotten. */
  ageingTime = 300_000;

  constructor(network: Network) {
    this.#network = network;
  }

  find(mac: Mac): FdbEntry | undefined {
    const entry = this.#entries.get(mac);
    if (entry === undefined || !this.#expired(entry)) {
      if (entry !== undefined && !entry.isStatic) {
        this.#network.recording?.expires(entry.updated + this.ageingTime);
      }
      return entry;
    }
    this.#entries.delete(mac);
    this.#network.touch();
    return undefined;
  }

  /** Remembers where a frame came from (`br_fdb_update`). */
  learn(mac: Mac, port: BridgePort): void {
    const entry = this.find(mac);
    if (entry === undefined) {
      this.#entries.set(mac, {
        mac,
        port,
        local: false,
        isStatic: false,
        updated: this.#network.clock.now,
      });
      this.#network.touch();
      return;
    }
    if (entry.local) return; // a frame with our own address as source: not to be believed
    entry.updated = this.#network.clock.now;
    this.#network.recording?.effect({
      repeat: (_packets, time) => {
        entry.updated = time;
      },
    });
    if (entry.port !== port && !entry.isStatic) {
      entry.port = port;
      this.#network.touch();
    }
  }

  /** An entry by hand (`bridge fdb add`), or an address of the bridge or a port. */
  add(mac: Mac, port: BridgePort | undefined, local: boolean): void {
    this.#entries.set(mac, { mac, port, local, isStatic: true, updated: this.#network.clock.now });
    this.#network.touch();
  }

  /** `bridge fdb del`. @throws KernelError ENOENT */
  delete(mac: Mac): void {
    if (!this.#entries.delete(mac)) throw new KernelError("ENOENT", `fdb entry ${formatMac(mac)}`);
    this.#network.touch();
  }

  /** Forgets all that `fits` says. */
  deleteAll(fits: (entry: FdbEntry) => boolean): void {
    for (const [mac, entry] of this.#entries) if (fits(entry)) this.#entries.delete(mac);
    this.#network.touch();
  }

  *entries(): Iterable<FdbEntry> {
    for (const entry of this.#entries.values()) if (!this.#expired(entry)) yield entry;
  }

  #expired(entry: FdbEntry): boolean {
    return !entry.isStatic && entry.updated + this.ageingTime <= this.#network.clock.now;
  }
}
