import {
  Message,
  MessageReader,
  messageOf,
  type NetNamespace,
  type ReceivedDatagram,
  ServerReport,
  say,
  type TcpConnection,
  TcpListener,
  UdpSocket,
} from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { DnsListener } from "../server/core-dns.ts";
import { DnsWireMessage } from "./wire-message.ts";

export interface DnsServerOptions extends Pick<DnsListener, "address" | "port" | "handle"> {
  readonly owner: string;
  /** Where it listens over TCP; the same port where it is absent. */
  readonly tcpPort?: number;
}

/**
 * Serves DNS on an address and port of a namespace, over UDP and TCP. Who sends it something else learns who answered, as from an
 * echo server: a real one would say FORMERR, or nothing.
 */
export class DnsServer {
  readonly #netns: NetNamespace;
  readonly #options: DnsServerOptions;
  readonly #udp: UdpSocket;
  readonly #tcp: TcpListener;
  #closed = false;

  /** @throws KernelError EADDRINUSE */
  constructor(netns: NetNamespace, options: DnsServerOptions) {
    this.#netns = netns;
    this.#options = options;
    const { address, port, owner } = options;
    this.#udp = new UdpSocket(netns, {
      ...(address === undefined ? {} : { localAddress: address }),
      localPort: port,
      owner,
      onReceive: (datagram) => this.#datagram(datagram),
    });
    try {
      this.#tcp = new TcpListener(netns, {
        address,
        port: options.tcpPort ?? port,
        owner,
        onAccept: (connection) => this.#accept(connection),
      });
    } catch (error) {
      this.#udp.close();
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#udp.close();
    this.#tcp.close();
  }

  #datagram(datagram: ReceivedDatagram): void {
    const query = messageOf(datagram.payload);
    const { src: address, srcPort: port } = datagram;
    if (!(query instanceof DnsWireMessage)) {
      this.#reply(datagram, new Message(datagram.payload.length, this.#report(datagram)));
      return;
    }
    this.#options.handle(query.message, { address, port, protocol: "udp" }, (answer) => {
      const wire = new DnsWireMessage(answer, "udp");
      this.#reply(datagram, new Message(wire.wireLength, wire));
    });
  }

  /** From the address that was asked, as a server with IP_PKTINFO does. */
  #reply({ src, srcPort, dst, skb }: ReceivedDatagram, payload: Message): void {
    if (this.#closed) return;
    this.#udp.sendTo(src, srcPort, payload, { src: dst, trace: skb.trace });
  }

  #report({ dst, dstPort, src, srcPort, skb }: ReceivedDatagram): ServerReport {
    const { owner } = this.#options;
    return new ServerReport(this.#netns, owner, [dst, dstPort], [src, srcPort], skb.ip.ttl);
  }

  #accept(connection: TcpConnection): void {
    const reader = new MessageReader();
    const { remoteAddress: address, remotePort: port } = connection;
    connection.onData = (data) => {
      const query = reader.take(data);
      if (query === undefined) return;
      if (!(query instanceof DnsWireMessage)) {
        connection.send(connection.maxSegmentSize, ServerReport.of(connection));
        return;
      }
      this.#options.handle(query.message, { address, port, protocol: "tcp" }, (answer) => {
        if (connection.state === "ESTAB") say(connection, new DnsWireMessage(answer, "tcp"));
      });
    };
  }

  /** Where it listens; every address where it is absent. */
  get address(): IpAddress | undefined {
    return this.#options.address;
  }
}
