import { formatEndpoint, type Ipv4Address } from "@cnilab/net";
import { DockerError } from "./docker-error.ts";

export type PortProtocol = "tcp" | "udp";

/** First and last port. */
export type PortRange = readonly [number, number];

/**
 * Which host ports are published (libnetwork portallocator). Automatic ports come one after the other out of the host's
 * ephemeral range: one that was given back is not the next.
 */
export class PortAllocator {
  readonly #ephemeral: PortRange;
  /** By protocol and port: the addresses that have it. */
  readonly #taken = new Map<string, Set<Ipv4Address>>();
  /** The last port given, by address, protocol and range. */
  readonly #last = new Map<string, number>();

  /** @param ephemeral `net.ipv4.ip_local_port_range` */
  constructor(ephemeral: PortRange) {
    this.#ephemeral = ephemeral;
  }

  /**
   * @param range one of its ports; of the ephemeral ones where it is absent
   * @param usable whether a socket can be bound to it
   * @throws DockerError where none is free
   */
  request(
    address: Ipv4Address,
    protocol: PortProtocol,
    range: PortRange | undefined,
    usable: (port: number) => boolean,
  ): number {
    const [first, last] = range ?? this.#ephemeral;
    const key = `${address} ${protocol} ${first}-${last}`;
    let port = this.#last.get(key) ?? last;
    for (let i = first; i <= last; i++) {
      port = port >= last ? first : port + 1;
      if (!this.#isFree(address, protocol, port) || !usable(port)) continue;
      this.#last.set(key, port);
      this.#of(protocol, port).add(address);
      return port;
    }
    throw new DockerError(
      first === last
        ? `Bind for ${formatEndpoint(address, first)} failed: port is already allocated`
        : `all ports of ${first}-${last} are allocated`,
    );
  }

  release(address: Ipv4Address, protocol: PortProtocol, port: number): void {
    this.#of(protocol, port).delete(address);
  }

  /** A port of all addresses (0.0.0.0) is one of each. */
  #isFree(address: Ipv4Address, protocol: PortProtocol, port: number): boolean {
    const taken = this.#of(protocol, port);
    return address === 0 ? taken.size === 0 : !taken.has(address) && !taken.has(0);
  }

  #of(protocol: PortProtocol, port: number): Set<Ipv4Address> {
    const key = `${protocol} ${port}`;
    let taken = this.#taken.get(key);
    if (taken === undefined) {
      taken = new Set();
      this.#taken.set(key, taken);
    }
    return taken;
  }
}
