import type { Clock, Random } from "@cnilab/core";
import type { DnsMessage } from "../message/message.ts";
import type { DnsTransport } from "../transport.ts";
import type { ResolvConf } from "./resolv-conf.ts";
import type { StepLog } from "./step-log.ts";

/** Where resolvers ask. */
export const DNS_PORT = 53;

export interface SendContext {
  readonly conf: ResolvConf;
  readonly transport: DnsTransport;
  readonly clock: Clock;
  readonly random: Random;
}

/** How the questions of one step ended: each answer, or why there is none. */
export interface Exchange {
  /** In the order of the questions. */
  readonly answers: readonly (DnsMessage | undefined)[];
  /** Where no server gave a usable answer. */
  readonly failure?: "timeout" | "refused";
  /** A server said SERVFAIL. */
  readonly servfail?: boolean;
}

/** Sends a step's questions together, and sees to servers, retries and TCP. */
export interface Sender {
  send(queries: readonly DnsMessage[], log: StepLog, done: (exchange: Exchange) => void): void;
}
