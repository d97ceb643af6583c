import type { Kernel, NetNamespace, Network, Segment } from "@cnilab/linux";
import { Nic } from "@cnilab/linux";

/** Bytes of a file's name: namespaces with names are files (`/run/netns/NAME`). */
const NAME_MAX = 255;

/** @throws RangeError for a prefix that cannot be part of a file's name */
export function checkedPrefix(prefix: string): string {
  if (/^[a-zA-Z0-9_-]{1,32}$/.test(prefix)) return prefix;
  throw new RangeError(`prefix "${prefix}": letters, digits, "_" and "-", at most 32`);
}

/** Names that real namespaces get: `PREFIX.NODE`, `PREFIX.NODE.POD`, and `PREFIX..SEGMENT` for the wires. */
export class NamespaceNames {
  readonly prefix: string;
  readonly #names = new Map<NetNamespace | Segment, string>();

  /** @throws RangeError for a prefix that cannot be part of a file's name, a name that is too long or that two would have */
  constructor(prefix: string, network: Network) {
    this.prefix = checkedPrefix(prefix);
    for (const kernel of network.kernels.values()) {
      for (const netns of namespacesOf(kernel)) {
        this.#give(netns, [kernel.hostname, netns.name].filter((part) => part !== "").join("."));
      }
    }
    for (const segment of segmentsOf(network)) this.#give(segment, `.${segment.name}`);
  }

  of(what: NetNamespace | Segment): string {
    const name = this.#names.get(what);
    if (name === undefined) throw new RangeError(`${what} is not part of the network`);
    return name;
  }

  /** All of them, in the order in which they are made. */
  get all(): readonly string[] {
    return [...this.#names.values()];
  }

  #give(what: NetNamespace | Segment, own: string): void {
    const name = `${this.prefix}.${own.replaceAll(/[^a-zA-Z0-9_.-]/g, "_")}`;
    if (name.length > NAME_MAX) {
      throw new RangeError(
        `namespaces' names have ${NAME_MAX} bytes at most, this one more: ${name}`,
      );
    }
    if (this.all.includes(name)) throw new RangeError(`two namespaces would be named ${name}`);
    this.#names.set(what, name);
  }
}

/** All namespaces of a machine, the one that it boots with first. */
export function namespacesOf(kernel: Kernel): NetNamespace[] {
  return [kernel.initNs, ...kernel.namespaces];
}

/** The segments that machines are plugged into, in the order in which they are met. */
export function segmentsOf(network: Network): Segment[] {
  const found = new Set<Segment>();
  for (const kernel of network.kernels.values()) {
    for (const { devices } of namespacesOf(kernel)) {
      for (const dev of devices) if (dev instanceof Nic) found.add(dev.segment);
    }
  }
  return [...found];
}
