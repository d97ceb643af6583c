import { formatOrigin, isPolicyOrigin } from "@cnilab/core";
import type { Drop, Exchange } from "@cnilab/linux";
import { formatEndpoint, formatIp, type IpAddress } from "@cnilab/net";

/** What becomes of an attempt to talk to somebody, in the words of the command line. */
export type Verdict =
  | "allowed"
  /** A policy dropped or rejected it. */
  | "blocked"
  /** Somebody else said no. */
  | "refused"
  /** Any other loss, or an ICMP error. */
  | "unreachable"
  /** The handshake passes, full-sized data does not. */
  | "stalls"
  /** There is no such name. */
  | "unresolved";

/** A drop that a policy's rule decided. */
export function policyDrop(drops: readonly Drop[]): Drop | undefined {
  return drops.find(({ rule }) => isPolicyOrigin(rule?.origin));
}

export function verdictOf(exchange: Exchange): Verdict {
  switch (exchange.outcome) {
    case "connected":
      return "allowed";
    case "stalled":
      return "stalls";
    case "refused":
      return policyDrop(exchange.drops) === undefined ? "refused" : "blocked";
    case "unreachable":
    case "timeout":
      return policyDrop(exchange.drops) === undefined ? "unreachable" : "blocked";
  }
}

/** One line that says why. */
export function reasonOf(
  exchange: Exchange,
  to: { readonly address: IpAddress; readonly port: number | undefined },
  backend: string | undefined,
): string {
  const { outcome, report, replyFrom, error } = exchange;
  const where = to.port === undefined ? formatIp(to.address) : formatEndpoint(to.address, to.port);
  if (outcome === "connected") {
    const at = report
      ? formatEndpoint(report.address, report.port)
      : formatIp(replyFrom as IpAddress);
    const through = at === where ? "" : ` (asked for ${where})`;
    return `${backend ?? at} answered at ${at}${through}`;
  }
  const drop = policyDrop(exchange.drops) ?? exchange.drops.at(-1);
  const lost = drop === undefined ? undefined : describeDrop(drop);
  if (outcome === "stalled") {
    return `the handshake with ${where} passes, full-sized packets do not${lost === undefined ? "" : `: ${lost}`}`;
  }
  if (error !== undefined) {
    const by = error.from === undefined ? "" : ` from ${formatIp(error.from)}`;
    const why = drop !== undefined && outcome !== "refused" ? `; ${lost}` : "";
    return `${error.message}${by}${outcome === "refused" ? ` for ${where}` : ""}${why}`;
  }
  if (lost !== undefined) return lost;
  const silent = exchange.unresolved[0];
  if (silent !== undefined) {
    const { dev, ip } = silent;
    return `nobody on ${dev.netns}/${dev.name} answers for ${formatIp(ip)}`;
  }
  return `no answer from ${where}`;
}

/** Where a packet ended, and by which rule of whom. */
export function describeDrop({ reason, netns, dev, detail, rule }: Drop): string {
  const at = dev === undefined ? `${netns}` : `${netns}/${dev.name}`;
  if (rule !== undefined) {
    const cause = rule.origin === undefined ? "" : ` of ${formatOrigin(rule.origin)}`;
    return `dropped at ${at} by ${rule.location}${cause}: ${rule.text}`;
  }
  return `dropped at ${at}: ${reason}${detail === "" ? "" : ` (${detail})`}`;
}
