import type { VxlanPacket } from "../vxlan.ts";

// Flags of RFC 7348 section 5 and of draft-smith-vxlan-group-policy section 2.1
const VNI_VALID = 0x08;
const GROUP_POLICY = 0x80;

export interface VxlanHeader {
  readonly vni: number;
  readonly groupPolicyId: number;
}

export function writeVxlanHeader(octets: DataView, packet: VxlanPacket): void {
  const { groupPolicyId } = packet;
  octets.setUint8(0, groupPolicyId === 0 ? VNI_VALID : VNI_VALID | GROUP_POLICY);
  octets.setUint16(2, groupPolicyId);
  octets.setUint32(4, packet.vni << 8);
}

/** `undefined` where no VNI is said to be: whatever came to that port is not VXLAN. */
export function readVxlanHeader(octets: DataView): VxlanHeader | undefined {
  if (octets.byteLength < 8 || (octets.getUint8(0) & VNI_VALID) === 0) return undefined;
  const hasPolicy = (octets.getUint8(0) & GROUP_POLICY) !== 0;
  return { vni: octets.getUint32(4) >>> 8, groupPolicyId: hasPolicy ? octets.getUint16(2) : 0 };
}
