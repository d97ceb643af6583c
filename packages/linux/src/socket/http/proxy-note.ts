import type { ServerReport } from "../server-report.ts";

/** What a proxy between a client and a server notes on an answer that it gave or passed on. */
export class ProxyNote {
  /** The proxy, and whom it saw. */
  readonly server: ServerReport;
  /** Why it did what it did; empty where it only passed it on. */
  readonly why: string;

  constructor(server: ServerReport, why: string) {
    this.server = server;
    this.why = why;
  }
}
