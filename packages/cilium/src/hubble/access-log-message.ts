import type { HttpHeaders } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { NumericIdentity } from "../identity/numeric-identity.ts";
import type { MESSAGE_TYPE } from "./monitor-messages.ts";

/** One end of what a proxy tells of. */
export interface AccessLogEnd {
  readonly address: IpAddress;
  readonly port: number;
  readonly identity: NumericIdentity;
}

/** What a proxy saw of HTTP (pkg/proxy/accesslog LogRecordHTTP). */
export interface HttpLog {
  readonly method: string;
  /** `http://HOST/PATH` */
  readonly url: string;
  /** `HTTP/1.1` */
  readonly protocol: string;
  /** 0 in requests. */
  readonly code: number;
  readonly headers: HttpHeaders;
  /** Milliseconds from request to response. */
  readonly latencyMs: number;
}

/** What a proxy saw of DNS (LogRecordDNS). */
export interface DnsLog {
  readonly query: string;
  readonly ips: readonly IpAddress[];
  readonly ttl: number;
  readonly cnames: readonly string[];
  readonly rcode: number;
  readonly questionTypes: readonly string[];
  readonly answerTypes: readonly string[];
}

/** A line of a proxy's access log, as the agent passes it on to its monitor (pkg/proxy/accesslog LogRecord). */
export interface AccessLogMessage {
  readonly type: typeof MESSAGE_TYPE.l7;
  readonly node: string;
  /** Virtual milliseconds. */
  readonly time: number;
  readonly kind: "REQUEST" | "RESPONSE";
  readonly verdict: "FORWARDED" | "DENIED" | "ERROR";
  /** On which side of the endpoint the proxy stands. */
  readonly ingress: boolean;
  readonly transport: "TCP" | "UDP";
  /** Who sent this: in responses whoever was asked. */
  readonly source: AccessLogEnd;
  readonly destination: AccessLogEnd;
  readonly http?: HttpLog;
  readonly dns?: DnsLog;
}
