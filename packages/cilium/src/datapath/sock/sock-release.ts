import type { SockContext } from "@cnilab/linux";
import { familyOf } from "@cnilab/net";
import { METRIC_EGRESS } from "../maps/metrics-map.ts";
import type { NodeDatapath } from "../node-datapath.ts";
import { ipv4In } from "./sock-addr.ts";
import { countSocketMetric, REASON_LB_REVNAT_DELETE } from "./sock-metrics.ts";

/** Forgets what a connected socket asked for (`cil_sock_release`). What was sent unconnected is forgotten when the map is full. */
export function sockRelease(ctx: SockContext, { maps }: NodeDatapath): void {
  const { remoteAddress, remotePort: port } = ctx;
  if (remoteAddress === undefined) return;
  const address = ipv4In(remoteAddress) ?? remoteAddress;
  const { reverseSk } = maps.lb(familyOf(address));
  if (ctx.delete(reverseSk, { cookie: ctx.socketCookie, address, port }) === undefined) {
    countSocketMetric(maps.metrics, METRIC_EGRESS, REASON_LB_REVNAT_DELETE);
  }
}
