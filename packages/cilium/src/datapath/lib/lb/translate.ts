import type { TcContext } from "@cnilab/linux";
import { IPPROTO_SCTP, type IpAddress } from "@cnilab/net";
import { DROP_CSUM_L4 } from "../drop-reason.ts";
import { hasL4Header, l4Of } from "../ipfrag.ts";

// Rewriting of addresses and ports. The number that stands for a port in ICMP queries is their identifier.

/** @param port 0 leaves it as it is. @returns 0, or a reason to drop */
export function rewriteSource(ctx: TcContext, address: IpAddress, port: number): number {
  const before = sourceNumber(ctx);
  const after = port === 0 ? before : port;
  if (!mayChangePort(ctx, before, after)) return DROP_CSUM_L4;
  if (ctx.ip.src !== address || before !== after) ctx.translateSource(address, after);
  return 0;
}

/** @param port 0 leaves it as it is. @returns 0, or a reason to drop */
export function rewriteDestination(ctx: TcContext, address: IpAddress, port: number): number {
  const before = destinationNumber(ctx);
  const after = port === 0 ? before : port;
  if (!mayChangePort(ctx, before, after)) return DROP_CSUM_L4;
  if (ctx.ip.dst !== address || before !== after) ctx.translateDestination(address, after);
  return 0;
}

/** Programs cannot amend SCTP's checksum, which is no sum. */
function mayChangePort(ctx: TcContext, before: number, after: number): boolean {
  return before === after || ctx.ip.protocol !== IPPROTO_SCTP || !hasL4Header(ctx.ip);
}

function sourceNumber({ ip }: TcContext): number {
  const { srcPort, echoId } = l4Of(ip) as { readonly srcPort?: number; readonly echoId?: number };
  return srcPort ?? echoId ?? 0;
}

function destinationNumber({ ip }: TcContext): number {
  const { dstPort, echoId } = l4Of(ip) as { readonly dstPort?: number; readonly echoId?: number };
  return dstPort ?? echoId ?? 0;
}
