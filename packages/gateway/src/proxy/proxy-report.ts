import type { ServerReport } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { RouteBackend, RouteDecision } from "../routing/decision.ts";
import type { ProxyEndpoint } from "./endpoint-index.ts";

/** One connection of the proxy to an endpoint. */
export interface ProxyAttempt {
  readonly endpoint: ProxyEndpoint;
  /** Source of the connection; `undefined` where there was no way to begin one. */
  readonly source: IpAddress | undefined;
  /** Why nothing came of it; `undefined` where an answer came. */
  readonly failure: string | undefined;
  readonly timedOut: boolean;
}

/** What a proxy notes on each answer that it gives or passes on. */
export class ProxyReport {
  /** The proxy's own end of the client's connection, and whom it saw there. */
  readonly server: ServerReport;
  readonly decision: RouteDecision;
  /** The backend that was chosen. */
  readonly backend: RouteBackend | undefined;
  readonly attempts: readonly ProxyAttempt[];
  /** Whether the answer is the proxy's own, and then why; empty for one that came from an endpoint. */
  readonly why: string;

  constructor(
    server: ServerReport,
    decision: RouteDecision,
    backend: RouteBackend | undefined,
    attempts: readonly ProxyAttempt[],
    why: string,
  ) {
    this.server = server;
    this.decision = decision;
    this.backend = backend;
    this.attempts = attempts;
    this.why = why;
  }
}
