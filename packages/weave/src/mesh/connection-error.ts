import type { SocketError, TcpConnection } from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { type PeerDescription, peerText } from "./peer.ts";

/** It will be the same each time: the address is not tried again. */
export class HopelessConnection extends Error {
  /** One to ourselves is no failure. */
  readonly isToOurself: boolean;

  constructor(message: string, isToOurself: boolean) {
    super(message);
    this.isToOurself = isToOurself;
  }
}

export function connectToSelf(): HopelessConnection {
  return new HopelessConnection("cannot connect to ourself", true);
}

type Named = Pick<PeerDescription, "name" | "nickname">;

export function nameCollision(local: Named, remote: Named): HopelessConnection {
  const text = `local "${peerText(local)}" and remote "${peerText(remote)}" peer names collision`;
  return new HopelessConnection(text, false);
}

/** As Go words what comes of a call of the system; `undefined` for an end without an error. */
export function readError(tcp: TcpConnection): Error {
  const { error } = tcp;
  return new Error(error === undefined ? "EOF" : `read ${ends(tcp)}: read: ${errorText(error)}`);
}

export function readTimeout(tcp: TcpConnection): Error {
  return new Error(`read ${ends(tcp)}: i/o timeout`);
}

export function dialError(address: string, error: SocketError | undefined): Error {
  const text = error === undefined ? "connection refused" : errorText(error);
  return new Error(`dial tcp4 :0->${address}: connect: ${text}`);
}

function ends({ localAddress, localPort, remoteAddress, remotePort }: TcpConnection): string {
  return `tcp ${formatIp(localAddress)}:${localPort}->${formatIp(remoteAddress)}:${remotePort}`;
}

function errorText({ errno, message }: SocketError): string {
  return ERRORS[errno] ?? message;
}

const ERRORS: Readonly<Partial<Record<SocketError["errno"], string>>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "connection reset by peer",
  ETIMEDOUT: "connection timed out",
  EHOSTUNREACH: "no route to host",
  ENETUNREACH: "network is unreachable",
  EPERM: "operation not permitted",
  EACCES: "permission denied",
};
