import type { IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";

/** One end of a connection as the program that serves it has it. */
export interface ServedConnection {
  readonly netns: NetNamespace;
  readonly owner: string;
  readonly localAddress: IpAddress;
  readonly localPort: number;
  readonly remoteAddress: IpAddress;
  readonly remotePort: number;
  readonly synTtl?: number | undefined;
}

/** What an echo server answers: who it is, and whom it sees. */
export class ServerReport {
  readonly netns: NetNamespace;
  /** The program that answered. */
  readonly owner: string;
  /** Address and port that it was asked at. */
  readonly address: IpAddress;
  readonly port: number;
  /** Source of the request as it arrived. */
  readonly seenAddress: IpAddress;
  readonly seenPort: number;
  /** TTL of the datagram or SYN as it arrived, where the server knows it. */
  readonly seenTtl: number | undefined;

  constructor(
    netns: NetNamespace,
    owner: string,
    local: readonly [IpAddress, number],
    seen: readonly [IpAddress, number],
    seenTtl?: number,
  ) {
    this.netns = netns;
    this.owner = owner;
    [this.address, this.port] = local;
    [this.seenAddress, this.seenPort] = seen;
    this.seenTtl = seenTtl;
  }

  /** What the server of a connection says. */
  static of(connection: ServedConnection): ServerReport {
    return new ServerReport(
      connection.netns,
      connection.owner,
      [connection.localAddress, connection.localPort],
      [connection.remoteAddress, connection.remotePort],
      connection.synTtl,
    );
  }
}
