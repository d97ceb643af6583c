import type { ApiClient, Clock, Random } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import type { DnsMessage } from "../message/message.ts";
import type { DnsProtocol, DnsTransport } from "../transport.ts";

/** Who asked. */
export interface DnsClient {
  readonly address: IpAddress;
  readonly port: number;
  readonly protocol: DnsProtocol;
}

/** What CoreDNS writes to its log. */
export interface DnsLogLine {
  readonly level: "INFO" | "WARNING" | "ERROR";
  readonly text: string;
}

export interface CoreDnsOptions {
  readonly corefile: string;
  /** For messages about it. */
  readonly corefileName?: string;
  /** What the `kubernetes` plugin watches; without it such a plugin is an error. */
  readonly api?: Pick<ApiClient, "watch">;
  readonly clock: Clock;
  readonly random: Random;
  /** How `forward` reaches its upstreams. */
  readonly transport: DnsTransport;
  /** Files that the Corefile names, by the path as it stands there. */
  readonly readFile?: (path: string) => string | undefined;
  /** For `{$NAME}` in the Corefile. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly log?: (line: DnsLogLine) => void;
  /** The order of plugins is fixed when CoreDNS is built, and changed in v1.15. */
  readonly pluginOrder?: "v1.15" | "v1.13";
  /** Seconds since 1970 at virtual time 0, for serial numbers. */
  readonly epochSeconds?: number;
  /** CoreDNS' own addresses: `kubernetes` names the Service that has them as the zone's name server. */
  readonly localAddresses?: () => readonly IpAddress[];
}

/** One address and port that CoreDNS listens on, over UDP and TCP. */
export interface DnsListener {
  /** The `bind` address; every local address where it is absent. */
  readonly address?: IpAddress;
  readonly port: number;
  /** Answers a query; `done` is called at once or later on the clock, or never where CoreDNS says nothing. */
  handle(query: DnsMessage, client: DnsClient, done: (answer: DnsMessage) => void): void;
}
