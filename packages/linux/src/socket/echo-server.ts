import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, type IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { Message } from "./message.ts";
import { type SctpAssociation, SctpListener } from "./sctp.ts";
import type { Socket } from "./socket.ts";
import type { CatchAll } from "./socket-table.ts";
import { type TcpConnection, TcpListener } from "./tcp.ts";
import { type ReceivedDatagram, UdpSocket } from "./udp.ts";

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
}

/** Answers requests with a full-sized segment that tells who answered, as agnhost's netexec does. */
function serveStream(
  connection: TcpConnection | SctpAssociation,
  onRequest?: (report: ServerReport) => void,
): void {
  const report = new ServerReport(
    connection.netns,
    connection.owner,
    [connection.localAddress, connection.localPort],
    [connection.remoteAddress, connection.remotePort],
    "synTtl" in connection ? connection.synTtl : undefined,
  );
  connection.onData = () => {
    onRequest?.(report);
    connection.send(connection.maxSegmentSize, report);
  };
}

function reportOn(datagram: ReceivedDatagram, netns: NetNamespace, owner: string): ServerReport {
  return new ServerReport(
    netns,
    owner,
    [datagram.dst, datagram.dstPort],
    [datagram.src, datagram.srcPort],
    datagram.skb.ip.ttl,
  );
}

/** Starts an echo server on one port. @throws KernelError EADDRINUSE */
export function startEchoServer(
  netns: NetNamespace,
  options: {
    /** IPPROTO_TCP, IPPROTO_UDP or IPPROTO_SCTP. */
    readonly protocol: number;
    readonly address?: IpAddress;
    readonly port: number;
    readonly owner: string;
    /** Hears of each request, whether the answer gets through or not. */
    readonly onRequest?: (report: ServerReport) => void;
  },
): Socket & { close(): void } {
  const { protocol, onRequest, ...where } = options;
  const serve = (connection: TcpConnection | SctpAssociation): void =>
    serveStream(connection, onRequest);
  switch (protocol) {
    case IPPROTO_TCP:
      return new TcpListener(netns, { ...where, onAccept: serve });
    case IPPROTO_SCTP:
      return new SctpListener(netns, { ...where, onAssociate: serve });
    case IPPROTO_UDP:
      return new UdpSocket(netns, {
        ...(options.address === undefined ? {} : { localAddress: options.address }),
        localPort: options.port,
        owner: options.owner,
        onReceive: (datagram, socket) => {
          const report = reportOn(datagram, netns, options.owner);
          onRequest?.(report);
          const answer = new Message(datagram.payload.length, report);
          // It comes from the address that was asked, as a server with IP_PKTINFO does.
          const { dst: src, skb } = datagram;
          socket.sendTo(datagram.src, datagram.srcPort, answer, { src, trace: skb.trace });
        },
      });
    default:
      throw new RangeError(`no echo server for IP protocol ${protocol}`);
  }
}

/** An echo server on every port that nobody else has. */
export function echoOnAllPorts(netns: NetNamespace, owner: string): CatchAll {
  return {
    owner,
    onAccept: (connection) => serveStream(connection),
    onAssociate: (association) => serveStream(association),
    onDatagram: (datagram, reply) => {
      reply(new Message(datagram.payload.length, reportOn(datagram, netns, owner)));
    },
  };
}
