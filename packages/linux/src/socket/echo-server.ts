import { IPPROTO_SCTP, IPPROTO_TCP, IPPROTO_UDP, type IpAddress, type Payload } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { isWireMessage, messageOf } from "./conversation.ts";
import { fullSegment, RequestPieces } from "./full-segment.ts";
import { echoHttp } from "./http/http-echo.ts";
import { Message } from "./message.ts";
import { type SctpAssociation, SctpListener } from "./sctp.ts";
import { ServerReport } from "./server-report.ts";
import type { Socket } from "./socket.ts";
import type { CatchAll } from "./socket-table.ts";
import { type TcpConnection, TcpListener } from "./tcp.ts";
import { type ReceivedDatagram, UdpSocket } from "./udp.ts";

/**
 * Answers requests with a full-sized segment that tells who answered, as agnhost's netexec does; what speaks HTTP is answered
 * by {@link HttpEcho}.
 */
function serveStream(
  connection: TcpConnection | SctpAssociation,
  tls: boolean,
  onRequest?: (report: ServerReport) => void,
): void {
  const report = ServerReport.of(connection);
  const pieces = new RequestPieces();
  connection.onData = (data: Payload) => {
    const isFirst = pieces.isFirst(data);
    if (isFirst) onRequest?.(report);
    if (isWireMessage(messageOf(data)) && "synTtl" in connection) echoHttp(connection, tls, data);
    else if (isFirst) connection.send(fullSegment(connection), report);
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
    /** Whether it speaks TLS on this port, and in the clear says that it does. */
    readonly tls?: boolean;
    /** Hears of each request, whether the answer gets through or not. */
    readonly onRequest?: (report: ServerReport) => void;
  },
): Socket & { close(): void } {
  const { protocol, onRequest, tls = speaksTls(options.port), ...where } = options;
  const serve = (connection: TcpConnection | SctpAssociation): void =>
    serveStream(connection, tls, onRequest);
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

/** What a server in a container speaks is not in the input; ports that end in 443 are those of TLS by custom. */
function speaksTls(port: number): boolean {
  return port % 1000 === 443;
}

/** An echo server on every port that nobody else has. */
export function echoOnAllPorts(netns: NetNamespace, owner: string): CatchAll {
  return {
    owner,
    onAccept: (connection) => serveStream(connection, speaksTls(connection.localPort)),
    onAssociate: (association) => serveStream(association, false),
    onDatagram: (datagram, reply) => {
      reply(new Message(datagram.payload.length, reportOn(datagram, netns, owner)));
    },
  };
}
