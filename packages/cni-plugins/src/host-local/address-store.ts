import type { HostFiles, HostFolder } from "@cnilab/core";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";

const LOCK = "lock";
const LAST_RESERVED = "last_reserved_ip.";

/**
 * The addresses of one network that are in use on a machine: a file for each, named as the address, with
 * the container's ID and the interface as its two lines (host-local backend/disk/backend.go).
 *
 * The real plugin reads every file to find those of a container. Here an index does it, made from the
 * files when a network is first used on a machine; from then on nobody else may write to the folder.
 */
export class AddressStore {
  readonly #folder: HostFolder;
  /** Owner, as in the files, to the addresses it holds: mostly one, hence no list around it. */
  readonly #held = new Map<string, string | string[]>();

  private constructor(folder: HostFolder) {
    this.#folder = folder;
    for (const name of folder.list()) {
      if (tryParseIp(name) === undefined) continue;
      this.#remember((folder.read(name) ?? "").trim(), name);
    }
  }

  /** Opens the store, and leaves the lock file behind that the real one does. */
  static open(files: HostFiles, folder: string): AddressStore {
    let stores = opened.get(files);
    if (stores === undefined) {
      stores = new Map();
      opened.set(files, stores);
    }
    let store = stores.get(folder);
    if (store === undefined) {
      store = new AddressStore(files.folder(folder));
      stores.set(folder, store);
    }
    if (store.#folder.read(LOCK) === undefined) store.#folder.write(LOCK, "");
    return store;
  }

  /** False when somebody has the address. @param set index of the range set, whose cursor moves here */
  reserve(id: string, ifName: string, address: IpAddress, set: number): boolean {
    const name = formatIp(address);
    if (this.#folder.read(name) !== undefined) return false;
    const owner = ownerOf(id, ifName);
    this.#folder.write(name, owner);
    this.#remember(owner, name);
    this.#folder.write(`${LAST_RESERVED}${set}`, name);
    return true;
  }

  /** The address that was handed out last from a range set. */
  lastReserved(set: number): IpAddress | undefined {
    const text = this.#folder.read(`${LAST_RESERVED}${set}`);
    return text === undefined ? undefined : tryParseIp(text);
  }

  /** What a container holds on an interface. Old files have the ID alone; they count for every interface. */
  heldBy(id: string, ifName: string): IpAddress[] {
    const names = [
      ...listOf(this.#held.get(ownerOf(id, ifName))),
      ...listOf(this.#held.get(id.trim())),
    ];
    return names.map((name) => tryParseIp(name) as IpAddress);
  }

  /** Gives back what a container holds on an interface; old files only where there are no new ones. */
  release(id: string, ifName: string): void {
    const owner = ownerOf(id, ifName);
    const key = this.#held.has(owner) ? owner : id.trim();
    for (const name of listOf(this.#held.get(key))) this.#folder.remove(name);
    this.#held.delete(key);
  }

  #remember(owner: string, name: string): void {
    const held = this.#held.get(owner);
    this.#held.set(owner, held === undefined ? name : [...listOf(held), name]);
  }
}

const opened = new WeakMap<HostFiles, Map<string, AddressStore>>();

function ownerOf(id: string, ifName: string): string {
  return `${id.trim()}\r\n${ifName}`;
}

function listOf(held: string | readonly string[] | undefined): readonly string[] {
  return held === undefined ? [] : typeof held === "string" ? [held] : held;
}
