import type { ServerReport } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { TrafficDirection } from "../../policy/policy-map-key.ts";

/** What a proxy for policies notes on an answer that it gave or passed on. */
export class L7PolicyReport {
  /** The proxy, and whom it saw. */
  readonly server: ServerReport;
  readonly direction: TrafficDirection;
  /** Whether a rule of HTTP let the request pass. */
  readonly allowed: boolean;
  /** In whose name it went on; `undefined` for the node's own. */
  readonly source: IpAddress | undefined;

  constructor(
    server: ServerReport,
    direction: TrafficDirection,
    allowed: boolean,
    source: IpAddress | undefined,
  ) {
    this.server = server;
    this.direction = direction;
    this.allowed = allowed;
    this.source = source;
  }
}
