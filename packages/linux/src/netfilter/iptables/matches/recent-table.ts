import type { IpAddress } from "@cnilab/net";

/** An address, and when it was seen. */
export interface RecentEntry {
  readonly address: IpAddress;
  ttl: number;
  /** Virtual milliseconds, in a ring whose next place is `index`. */
  readonly stamps: number[];
  index: number;
}

/** Addresses that a table keeps (`ip_list_tot`); the one not seen for longest makes place. */
const MAX_ENTRIES = 100;
/** Times that an entry keeps (`ip_pkt_list_tot` and up, to a power of two). */
const MIN_STAMPS = 32;

/** One list of addresses of `-m recent` (`struct recent_table`). */
export class RecentTable {
  readonly name: string;
  /** Least recently seen first. */
  readonly #entries: Map<IpAddress, RecentEntry> = new Map();
  #maxStamps = MIN_STAMPS;

  constructor(name: string) {
    this.name = name;
  }

  get entries(): Iterable<RecentEntry> {
    return this.#entries.values();
  }

  /** Makes sure that `hits` times fit; forgets everything where it has to grow. */
  reserve(hits: number): void {
    if (hits <= this.#maxStamps) return;
    this.#entries.clear();
    while (this.#maxStamps < hits) this.#maxStamps *= 2;
  }

  /** @param ttl 0 for any */
  find(address: IpAddress, ttl: number): RecentEntry | undefined {
    const entry = this.#entries.get(address);
    return entry !== undefined && (ttl === 0 || ttl === entry.ttl) ? entry : undefined;
  }

  /** A new entry, seen `now`. */
  add(address: IpAddress, ttl: number, now: number): void {
    if (this.#entries.size >= MAX_ENTRIES) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    this.#entries.set(address, { address, ttl, stamps: [now], index: 1 });
  }

  /** The address was seen again. */
  update(entry: RecentEntry, ttl: number, now: number): void {
    entry.index &= this.#maxStamps - 1;
    entry.stamps[entry.index++] = now;
    entry.ttl = ttl;
    this.#entries.delete(entry.address);
    this.#entries.set(entry.address, entry);
  }

  remove(entry: RecentEntry): void {
    this.#entries.delete(entry.address);
  }

  /** Forgets the least recently seen address if that was before `time` (`recent_entry_reap`). */
  reap(time: number): void {
    for (const oldest of this.#entries.values()) {
      if (time > (oldest.stamps[oldest.index - 1] as number)) this.#entries.delete(oldest.address);
      return;
    }
  }
}

/** The lists by name. */
export class RecentTables {
  readonly #tables: Map<string, RecentTable> = new Map();

  get(name: string): RecentTable {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new RecentTable(name);
      this.#tables.set(name, table);
    }
    return table;
  }

  /** As /proc/net/xt_recent shows them. */
  get all(): Iterable<RecentTable> {
    return this.#tables.values();
  }
}
