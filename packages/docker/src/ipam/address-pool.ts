import { formatIp, type Ipv4Address, type Prefix } from "@cnilab/net";
import { DockerError } from "../docker-error.ts";

/** The addresses of one subnet: the lowest free one is given next, also where it was in use before (libnetwork ipams/defaultipam). */
export class AddressPool {
  readonly subnet: Prefix;
  readonly #range: Prefix;
  readonly #used = new Set<Ipv4Address>();
  /** No address of the range below it is free. */
  #next: Ipv4Address;

  /** @param range `--ip-range`: where addresses are taken from that nobody asks for by name */
  constructor(subnet: Prefix, range: Prefix = subnet) {
    this.subnet = subnet;
    this.#range = range;
    this.#next = range.address as Ipv4Address;
    // The network's own and the broadcast address, but on a point-to-point link (RFC 3021).
    if (subnet.length < 31) {
      this.#used.add(subnet.address as Ipv4Address);
      this.#used.add(subnet.last as Ipv4Address);
    }
  }

  /** With the network's own and the broadcast address. */
  get inUse(): number {
    return this.#used.size;
  }

  /** For those who ask for none by name. */
  get available(): number {
    let used = 0;
    for (const address of this.#used) if (this.#range.contains(address)) used++;
    return 2 ** (32 - this.#range.length) - used;
  }

  /**
   * @param wanted `--ip`; the lowest free address where it is absent
   * @throws DockerError where it is taken, outside, or none is left
   */
  request(wanted?: Ipv4Address): Ipv4Address {
    if (wanted !== undefined) {
      if (!this.subnet.contains(wanted)) {
        throw new DockerError(`${formatIp(wanted)} is not in the network's subnet ${this.subnet}`);
      }
      if (this.#used.has(wanted)) throw new DockerError(`${formatIp(wanted)} is already in use`);
      this.#used.add(wanted);
      return wanted;
    }
    const last = this.#range.last as Ipv4Address;
    while (this.#next <= last && this.#used.has(this.#next)) this.#next++;
    if (this.#next > last) throw new DockerError(`no free address is left in ${this.#range}`);
    this.#used.add(this.#next);
    return this.#next;
  }

  release(address: Ipv4Address): void {
    if (!this.#used.delete(address)) return;
    if (this.#range.contains(address) && address < this.#next) this.#next = address;
  }
}
