import { formatEndpoint, formatIp, type IpAddress, isUnspecified } from "@cnilab/net";
import { DockerError } from "./docker-error.ts";

export type PortProtocol = "tcp" | "udp" | "sctp";

/** First and last port. */
export type PortRange = readonly [number, number];

/**
 * Which host ports are published (libnetwork portallocator). Automatic ports come one after the other out of the host's
 * ephemeral range: one that was given back is not the next.
 */
export class PortAllocator {
  readonly #ephemeral: PortRange;
  /** By protocol and port: the addresses that have it. */
  readonly #taken = new Map<string, Set<IpAddress>>();
  /** The last port given, by address, protocol and range. */
  readonly #last = new Map<string, number>();

  /** @param ephemeral `net.ipv4.ip_local_port_range` */
  constructor(ephemeral: PortRange) {
    this.#ephemeral = ephemeral;
  }

  /**
   * One port for all of some addresses.
   * @param range one of its ports; of the ephemeral ones where it is absent
   * @param usable whether a socket can be bound to it
   * @throws DockerError where none is free
   */
  request(
    addresses: readonly IpAddress[],
    protocol: PortProtocol,
    range: PortRange | undefined,
    usable: (port: number) => boolean,
  ): number {
    const [first, last] = range ?? this.#ephemeral;
    const keys = addresses.map((address) => `${formatIp(address)} ${protocol} ${first}-${last}`);
    let port = this.#last.get(keys[0] ?? "") ?? last;
    for (let i = first; i <= last; i++) {
      port = port >= last ? first : port + 1;
      const isFree = addresses.every((address) => this.#isFree(address, protocol, port));
      if (!isFree || !usable(port)) continue;
      for (const key of keys) this.#last.set(key, port);
      for (const address of addresses) this.#of(protocol, port).add(address);
      return port;
    }
    throw new DockerError(
      first === last
        ? `Bind for ${formatEndpoint(addresses[0] ?? 0, first)} failed: port is already allocated`
        : `all ports of ${first}-${last} are allocated`,
    );
  }

  release(addresses: readonly IpAddress[], protocol: PortProtocol, port: number): void {
    for (const address of addresses) this.#of(protocol, port).delete(address);
  }

  /** A port of all addresses of a family (0.0.0.0, ::) is one of each. */
  #isFree(address: IpAddress, protocol: PortProtocol, port: number): boolean {
    for (const other of this.#of(protocol, port)) {
      if (typeof other !== typeof address) continue;
      if (other === address || isUnspecified(other) || isUnspecified(address)) return false;
    }
    return true;
  }

  #of(protocol: PortProtocol, port: number): Set<IpAddress> {
    const key = `${protocol} ${port}`;
    let taken = this.#taken.get(key);
    if (taken === undefined) {
      taken = new Set();
      this.#taken.set(key, taken);
    }
    return taken;
  }
}
