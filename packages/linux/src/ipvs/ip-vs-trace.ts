import { formatEndpoint } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import type { IpvsStep } from "../trace.ts";
import type { IpVsConn } from "./ip-vs-conn.ts";
import type { IpVsDest } from "./ip-vs-dest.ts";
import type { IpVsService } from "./ip-vs-service.ts";

/** Notes what IPVS does with a packet, where somebody wants to know. */
export function traceIpvs(
  skb: Skb,
  netns: NetNamespace,
  event: IpvsStep["event"],
  service: IpVsService,
  dest: IpVsDest | undefined,
  detail: string,
): void {
  skb.trace?.steps.push({
    kind: "ipvs",
    netns,
    packet: skb.number,
    event,
    service: service.rule,
    scheduler: service.scheduler.name,
    server: dest === undefined ? "" : formatEndpoint(dest.address, dest.port),
    detail,
  });
}

/** The translation of a packet's destination to its server's, or of an answer's source back. */
export function traceIpvsNat(skb: Skb, netns: NetNamespace, conn: IpVsConn, reply: boolean): void {
  const virtual = formatEndpoint(conn.vaddr, conn.vport);
  const real = formatEndpoint(conn.daddr, conn.dport);
  skb.trace?.steps.push({
    kind: "nat",
    netns,
    packet: skb.number,
    manip: reply ? "source" : "destination",
    from: reply ? real : virtual,
    to: reply ? virtual : real,
    reply,
  });
}
