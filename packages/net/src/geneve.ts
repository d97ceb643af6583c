import type { EthernetFrame } from "./ethernet.ts";
import type { Payload } from "./payload.ts";

/** Bytes of the Geneve header without options. */
export const GENEVE_HEADER_LENGTH = 8;

/** An Ethernet frame in Geneve in UDP (RFC 8926), without options. */
export class GenevePacket implements Payload {
  readonly vni: number;
  readonly frame: EthernetFrame;

  constructor(vni: number, frame: EthernetFrame) {
    this.vni = vni;
    this.frame = frame;
  }

  get length(): number {
    return GENEVE_HEADER_LENGTH + this.frame.length;
  }

  clone(): GenevePacket {
    return new GenevePacket(this.vni, this.frame.clone());
  }
}
