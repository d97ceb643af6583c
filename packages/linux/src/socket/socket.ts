import { type IpAddress, isUnspecified } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";

/** An end of communication in a namespace, as `ss` lists it. */
export interface Socket {
  readonly netns: NetNamespace;
  /** IP protocol number. */
  readonly protocol: number;
  /** `undefined` for every address. */
  readonly localAddress: IpAddress | undefined;
  readonly localPort: number;
  readonly remoteAddress: IpAddress | undefined;
  readonly remotePort: number;
  /** As `ss` prints it: `LISTEN`, `ESTAB`, `UNCONN`… */
  readonly state: string;
  /** The program that has it, as `nginx` or `default/web-0/nginx`. */
  readonly owner: string;
  /** Its own address may be somebody else's, and rules may give it packets for others (`IP_TRANSPARENT`). */
  readonly transparent?: boolean;
  /** Of what it sends (`SO_MARK`). */
  readonly mark?: number;
}

/**
 * Whether what is bound to an address gets packets to another: every address where there is none, all of one family for 0.0.0.0 and
 * for `::` (with IPV6_V6ONLY).
 */
export function isBoundTo(bound: IpAddress | undefined, address: IpAddress): boolean {
  if (bound === undefined || bound === address) return true;
  return isUnspecified(bound) && typeof bound === typeof address;
}

/** Why a socket call failed: an error number, and who said so if a packet did. */
export interface SocketError {
  readonly errno:
    | "ECONNABORTED"
    | "ECONNREFUSED"
    | "ECONNRESET"
    | "EHOSTUNREACH"
    | "ENETUNREACH"
    | "EMSGSIZE"
    | "EACCES"
    | "EPERM"
    | "EINVAL"
    | "ETIMEDOUT"
    | "EPROTO"
    | "ENOPROTOOPT"
    | "ENOBUFS"
    | "ENOKEY"
    | "EDESTADDRREQ"
    | "EADDRINUSE"
    | "ENOMEM"
    | "EREMOTE";
  /** Address of the machine whose message told of it; `undefined` when it was this machine. */
  readonly from: IpAddress | undefined;
  /** As `RST` or `ICMP port unreachable`. */
  readonly message: string;
}

/** What `sendmsg` fails with when this machine refused the packet; to be asked before it goes on to others. */
export function sendError({ sendErrno }: Skb): SocketError | undefined {
  if (sendErrno === undefined) return undefined;
  return { errno: sendErrno, from: undefined, message: "this machine does not let it out" };
}
