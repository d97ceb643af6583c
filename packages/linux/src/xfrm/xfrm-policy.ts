import type { IpAddress, IpPacket, Prefix } from "@cnilab/net";
import { dstPortOf, srcPortOf } from "../ip/transport.ts";
import { fitsMark, type XfrmMark } from "./xfrm-state.ts";

/** What an association must be to serve a policy (`struct xfrm_tmpl`): ESP in transport mode. */
export interface XfrmTemplate {
  readonly src: IpAddress;
  readonly dst: IpAddress;
  /** Any where it is absent. */
  readonly spi?: number;
  readonly reqid?: number;
}

/** What is to be done with packets that this machine sends (`ip xfrm policy`, direction out; `struct xfrm_policy`). */
export interface XfrmPolicy {
  readonly src: Prefix;
  readonly dst: Prefix;
  /** IP protocol; any where it is absent. */
  readonly protocol?: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly mark?: XfrmMark;
  /** Lower ones come first. */
  readonly priority?: number;
  readonly action: "allow" | "block";
  /** None: such packets stay as they are. */
  readonly template?: XfrmTemplate;
}

/** `xfrm_policy_match` */
export function appliesTo(policy: XfrmPolicy, packet: IpPacket, mark: number): boolean {
  const { src, dst, protocol, srcPort, dstPort } = policy;
  return (
    fitsMark(policy.mark, mark) &&
    src.contains(packet.src) &&
    dst.contains(packet.dst) &&
    (protocol === undefined || protocol === packet.protocol) &&
    (srcPort === undefined || srcPort === srcPortOf(packet)) &&
    (dstPort === undefined || dstPort === dstPortOf(packet))
  );
}

/** Two policies of one selector and mark are one: the later takes the place of the earlier. */
export function policyKey({ src, dst, protocol, srcPort, dstPort, mark }: XfrmPolicy): string {
  const marked = mark === undefined ? "" : `${mark.value}/${mark.mask}`;
  return [src, dst, protocol ?? "", srcPort ?? "", dstPort ?? "", marked].join(" ");
}
