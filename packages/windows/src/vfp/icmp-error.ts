import {
  ICMP_DEST_UNREACH,
  ICMP_PARAMETERPROB,
  ICMP_TIME_EXCEEDED,
  IcmpMessage,
  type IpPacket,
  QuotedPacket,
} from "@cnilab/net";
import type { FlowTable } from "./flow-table.ts";
import { reverse, setTuple, tupleOf } from "./flow-tuple.ts";
import type { VfpDirection } from "./vfp-group.ts";

/** The packet that an ICMP error is about; `undefined` for anything else. */
export function quotedPacket({ payload, version }: IpPacket): IpPacket | undefined {
  if (!(payload instanceof IcmpMessage) || !isError(version, payload.type)) return undefined;
  return payload.payload instanceof QuotedPacket ? payload.payload.packet : undefined;
}

/**
 * An error about a packet of a flow follows the flow's answers: what it quotes looks again as its sender sent it, and
 * the error goes there.
 * @returns whether it belongs to a flow
 */
export function translateIcmpError(
  packet: IpPacket,
  quoted: IpPacket,
  flows: FlowTable,
  direction: VfpDirection,
  now: number,
): boolean {
  // The quoted packet went the other way; its answer would come as the error does.
  const found = flows.find(direction, reverse(tupleOf(quoted)), now);
  if (found === undefined) return false;
  const { src, dst } = packet;
  const asked = reverse(tupleOf(quoted));
  setTuple(quoted, reverse(found.becomes));
  if (dst === asked.dst) packet.dst = found.becomes.dst;
  // From the translated end itself; routers on the way keep their address.
  if (src === asked.src) packet.src = found.becomes.src;
  return true;
}

function isError(version: 4 | 6, type: number): boolean {
  if (version === 6) return type < 128;
  return type === ICMP_DEST_UNREACH || type === ICMP_TIME_EXCEEDED || type === ICMP_PARAMETERPROB;
}
