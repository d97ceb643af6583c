import {
  formatEndpoint,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type Payload,
} from "@cnilab/net";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import { ConnectedSockets } from "./connected-sockets.ts";
import type { PingSocket } from "./ping-socket.ts";
import type { RawSocket } from "./raw-socket.ts";
import type { SctpAssociation, SctpListener } from "./sctp.ts";
import { isBoundTo, type Socket } from "./socket.ts";
import type { TcpConnection, TcpListener } from "./tcp.ts";
import type { ReceivedDatagram, UdpSocket } from "./udp.ts";

/** Sockets that are bound to a port, or to an identifier of echo requests, of one protocol. */
export class BoundSockets<S extends { readonly localPort: number }> {
  /** `undefined` while there are none: a pod has sockets of one or two protocols. */
  #byPort: Map<number, readonly S[]> | undefined = undefined;

  add(socket: S): void {
    this.#byPort ??= new Map();
    const there = this.#byPort.get(socket.localPort);
    this.#byPort.set(socket.localPort, there === undefined ? [socket] : [...there, socket]);
  }

  remove(socket: S): void {
    const left = this.#byPort?.get(socket.localPort)?.filter((s) => s !== socket) ?? [];
    if (left.length > 0) this.#byPort?.set(socket.localPort, left);
    else this.#byPort?.delete(socket.localPort);
    if (this.#byPort?.size === 0) this.#byPort = undefined;
  }

  on(port: number): readonly S[] | undefined {
    return this.#byPort?.get(port);
  }

  *all(): Iterable<S> {
    for (const sockets of this.#byPort?.values() ?? []) yield* sockets;
  }
}

/** A program that listens on every port at once. */
export interface CatchAll {
  readonly owner: string;
  readonly onAccept?: (connection: TcpConnection) => void;
  readonly onDatagram?: (datagram: ReceivedDatagram, reply: (payload: Payload) => void) => void;
  readonly onAssociate?: (association: SctpAssociation) => void;
}

/** The sockets of one namespace. */
export class SocketTable {
  readonly #netns: NetNamespace;
  #udp: BoundSockets<UdpSocket> | undefined;
  #tcpListeners: BoundSockets<TcpListener> | undefined;
  #tcpConnections: ConnectedSockets<TcpConnection> | undefined;
  #sctpListeners: BoundSockets<SctpListener> | undefined;
  #sctpAssociations: ConnectedSockets<SctpAssociation> | undefined;
  #pings: BoundSockets<PingSocket> | undefined;
  #transparent: Set<Socket> | undefined;
  /** Few have any: each hears of the errors about what it sent. */
  raw: readonly RawSocket[] | undefined = undefined;
  /** Takes whatever arrives on a port that nobody has. */
  catchAll: CatchAll | undefined = undefined;

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  get udp(): BoundSockets<UdpSocket> {
    this.#udp ??= new BoundSockets();
    return this.#udp;
  }

  get tcpListeners(): BoundSockets<TcpListener> {
    this.#tcpListeners ??= new BoundSockets();
    return this.#tcpListeners;
  }

  get tcpConnections(): ConnectedSockets<TcpConnection> {
    this.#tcpConnections ??= new ConnectedSockets();
    return this.#tcpConnections;
  }

  get sctpListeners(): BoundSockets<SctpListener> {
    this.#sctpListeners ??= new BoundSockets();
    return this.#sctpListeners;
  }

  get sctpAssociations(): ConnectedSockets<SctpAssociation> {
    this.#sctpAssociations ??= new ConnectedSockets();
    return this.#sctpAssociations;
  }

  get pings(): BoundSockets<PingSocket> {
    this.#pings ??= new BoundSockets();
    return this.#pings;
  }

  /** Connected sockets whose own address may be another machine's: their packets are found before they are routed. */
  get transparent(): Set<Socket> {
    this.#transparent ??= new Set();
    return this.#transparent;
  }

  get hasTransparent(): boolean {
    return this.#transparent !== undefined && this.#transparent.size > 0;
  }

  /** Fails where another socket has the port on the same address, or on all. @throws KernelError EADDRINUSE */
  checkFree(protocol: number, address: IpAddress | undefined, port: number): void {
    const other = this.#holder(protocol, address, port);
    if (other === undefined) return;
    const where = address === undefined ? `*:${port}` : formatEndpoint(address, port);
    throw new KernelError("EADDRINUSE", `${where} is taken by ${other.owner}`);
  }

  /** Whether a socket could be bound there. */
  isFree(protocol: number, address: IpAddress | undefined, port: number): boolean {
    return this.#holder(protocol, address, port) === undefined;
  }

  #holder(protocol: number, address: IpAddress | undefined, port: number): Socket | undefined {
    return this.listening(protocol, port).find(
      ({ localAddress }) =>
        localAddress === undefined ||
        address === undefined ||
        isBoundTo(localAddress, address) ||
        isBoundTo(address, localAddress),
    );
  }

  /** Sockets that take what nobody was connected for. */
  listening(protocol: number, port: number): readonly Socket[] {
    switch (protocol) {
      case IPPROTO_UDP:
        return this.udp.on(port)?.filter((s) => s.remoteAddress === undefined) ?? [];
      case IPPROTO_TCP:
        return this.tcpListeners.on(port) ?? [];
      case IPPROTO_SCTP:
        return this.sctpListeners.on(port) ?? [];
      default:
        return [];
    }
  }

  /** A free local port from `ip_local_port_range`. @throws KernelError EADDRNOTAVAIL */
  ephemeralPort(protocol: number): number {
    const range = this.#netns.sysctl.getText("net/ipv4/ip_local_port_range");
    const [first, last] = range.split(/\s+/).map(Number) as [number, number];
    const count = last - first + 1;
    const start = this.#netns.kernel.random.below(count);
    for (let i = 0; i < count; i++) {
      const port = first + ((start + i) % count);
      if (!this.#inUse(protocol, port)) return port;
    }
    throw new KernelError("EADDRNOTAVAIL", "all local ports are in use");
  }

  #inUse(protocol: number, port: number): boolean {
    switch (protocol) {
      case IPPROTO_UDP:
        return this.udp.on(port) !== undefined;
      case IPPROTO_TCP:
        return this.tcpListeners.on(port) !== undefined || this.tcpConnections.has(port);
      default:
        return this.sctpListeners.on(port) !== undefined || this.sctpAssociations.has(port);
    }
  }

  /** All, as `ss -a`. */
  *all(): Iterable<Socket> {
    yield* this.udp.all();
    yield* this.tcpListeners.all();
    yield* this.tcpConnections.all();
    yield* this.sctpListeners.all();
    yield* this.sctpAssociations.all();
  }

  /** Closes whatever a program has. */
  closeAll(owner: string): void {
    for (const s of [...this.tcpListeners.all()]) if (s.owner === owner) s.close();
    for (const s of [...this.sctpListeners.all()]) if (s.owner === owner) s.close();
    for (const s of [...this.udp.all()]) if (s.owner === owner) s.close();
    for (const s of [...this.tcpConnections.all()]) if (s.owner === owner) s.close();
    for (const s of [...this.sctpAssociations.all()]) if (s.owner === owner) s.close();
    for (const s of this.raw ?? []) if (s.owner === owner) s.close();
  }
}

/**
 * The best of several sockets for a packet: one bound to its destination before one of all addresses of its family (0.0.0.0, or ::
 * with IPV6_V6ONLY), before one of all there are.
 */
export function bestBound<S extends Socket>(
  sockets: readonly S[] | undefined,
  address: IpAddress,
): S | undefined {
  let found: S | undefined;
  for (const socket of sockets ?? []) {
    const { localAddress } = socket;
    if (localAddress === address) return socket;
    if (localAddress === undefined) found ??= socket;
    else if (isBoundTo(localAddress, address)) found = socket;
  }
  return found;
}
