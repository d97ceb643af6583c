import type { EthernetFrame } from "./ethernet.ts";
import type { Payload } from "./payload.ts";

/** Bytes that VXLAN adds to an Ethernet frame inside UDP: its own header. */
export const VXLAN_HEADER_LENGTH = 8;

/** VXLAN in UDP (RFC 7348), with the group policy extension's identifier. */
export class VxlanPacket implements Payload {
  vni: number;
  /** Group policy identifier (draft-smith-vxlan-group-policy); 0 when the extension is off. */
  groupPolicyId = 0;
  readonly frame: EthernetFrame;

  constructor(vni: number, frame: EthernetFrame) {
    this.vni = vni;
    this.frame = frame;
  }

  get length(): number {
    return VXLAN_HEADER_LENGTH + this.frame.length;
  }

  clone(): VxlanPacket {
    const copy = new VxlanPacket(this.vni, this.frame.clone());
    copy.groupPolicyId = this.groupPolicyId;
    return copy;
  }
}
