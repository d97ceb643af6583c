import {
  addToIp,
  compareIp,
  formatIp,
  type IpAddress,
  type Ipv4Address,
  type Prefix,
} from "@cnilab/net";
import { DockerError } from "../docker-error.ts";

/**
 * The addresses of one subnet: the lowest free one is given next, also where it was in use before (libnetwork ipams/defaultipam).
 * All are of the subnet's family.
 */
export class AddressPool<A extends IpAddress = Ipv4Address> {
  readonly subnet: Prefix;
  readonly #range: Prefix;
  readonly #used = new Set<IpAddress>();
  /** No address of the range below it is free. */
  #next: IpAddress;

  /** @param range `--ip-range`: where addresses are taken from that nobody asks for by name */
  constructor(subnet: Prefix, range: Prefix = subnet) {
    this.subnet = subnet;
    this.#range = range;
    this.#next = range.address;
    // The network's own (IPv6: that of all its routers, RFC 4291 section 2.6.1) and the broadcast address, but on a
    // point-to-point link (RFC 3021).
    if (subnet.family === 6) this.#used.add(subnet.address);
    else if (subnet.length < 31) {
      this.#used.add(subnet.address);
      this.#used.add(subnet.last);
    }
  }

  /** With the network's own and the broadcast address. */
  get inUse(): number {
    return this.#used.size;
  }

  /** For those who ask for none by name. */
  get available(): bigint {
    let used = 0n;
    for (const address of this.#used) if (this.#range.contains(address)) used++;
    return this.#range.size - used;
  }

  /**
   * @param wanted `--ip`, `--ip6`; the lowest free address where it is absent
   * @throws DockerError where it is taken, outside, or none is left
   */
  request(wanted?: A): A {
    if (wanted !== undefined) {
      if (!this.subnet.contains(wanted)) {
        throw new DockerError(`${formatIp(wanted)} is not in the network's subnet ${this.subnet}`);
      }
      if (this.#used.has(wanted)) throw new DockerError(`${formatIp(wanted)} is already in use`);
      this.#used.add(wanted);
      return wanted;
    }
    while (this.#used.has(this.#next) && this.#range.contains(this.#next)) {
      this.#next = addToIp(this.#next, 1);
    }
    if (!this.#range.contains(this.#next)) {
      throw new DockerError(`no free address is left in ${this.#range}`);
    }
    this.#used.add(this.#next);
    return this.#next as A;
  }

  release(address: A): void {
    if (!this.#used.delete(address)) return;
    if (this.#range.contains(address) && compareIp(address, this.#next) < 0) this.#next = address;
  }
}
