import type { IpAddress } from "@cnilab/net";
import type { DnsMessage, Rcode } from "../message/message.ts";
import type { DnsFailure, DnsProtocol } from "../transport.ts";

/** Which C library's resolver it is: they differ in nearly everything. */
export type ResolverFlavour = "glibc" | "musl";

export type AddressFamilyHint = "AF_UNSPEC" | "AF_INET" | "AF_INET6";

/** getaddrinfo's errors that names can lead to. */
export type GaiError = "EAI_NONAME" | "EAI_AGAIN" | "EAI_FAIL" | "EAI_NODATA";

/** One question to one server. */
export interface ResolverStep {
  readonly name: string;
  readonly type: string;
  readonly server: IpAddress;
  readonly protocol: DnsProtocol;
  /** Virtual milliseconds. */
  readonly sentAt: number;
  readonly endedAt: number;
  readonly outcome: Rcode | DnsFailure | "timeout";
  readonly answer?: DnsMessage;
}

/** Why nobody was asked: an address was given, /etc/hosts has the name, there is no server, or what was given can be no name. */
export type Unasked = "address" | "hosts" | "no server" | "no name";

export interface LookupResult {
  /** Of all families, in the order of the answers, A before AAAA. */
  readonly addresses: readonly IpAddress[];
  /** The last name of the chain of CNAMEs. */
  readonly canonicalName?: string;
  readonly error?: GaiError;
  /** Everything that was asked, in order of sending. */
  readonly steps: readonly ResolverStep[];
  /** Only where there are no steps. */
  readonly unasked?: Unasked;
}

export interface QueryResult {
  /** The answer that ended the walk; absent where no server answered. */
  readonly answer?: DnsMessage;
  readonly steps: readonly ResolverStep[];
  /** Only where there are no steps. */
  readonly unasked?: Unasked;
}
