import type { EthernetFrame } from "./ethernet.ts";
import type { Payload } from "./payload.ts";

const NO_OPTIONS: readonly GeneveOption[] = [];

/** Bytes of the Geneve header without options. */
export const GENEVE_HEADER_LENGTH = 8;

/** Bytes of an option before its data. */
export const GENEVE_OPTION_HEADER_LENGTH = 4;

/** RFC 8926 section 3.5. Immutable. */
export interface GeneveOption {
  /** 16 bits: who says what the types mean. */
  readonly optionClass: number;
  /** 8 bits; with the first one set, who does not know it must drop the packet. */
  readonly type: number;
  /** A multiple of four bytes, at most 124. */
  readonly data: Uint8Array;
}

/** An Ethernet frame in Geneve in UDP (RFC 8926). */
export class GenevePacket implements Payload {
  readonly vni: number;
  readonly frame: EthernetFrame;
  readonly options: readonly GeneveOption[];

  constructor(vni: number, frame: EthernetFrame, options: readonly GeneveOption[] = NO_OPTIONS) {
    this.vni = vni;
    this.frame = frame;
    this.options = options;
  }

  get headerLength(): number {
    let length = GENEVE_HEADER_LENGTH;
    for (const { data } of this.options) length += GENEVE_OPTION_HEADER_LENGTH + data.length;
    return length;
  }

  get length(): number {
    return this.headerLength + this.frame.length;
  }

  clone(): GenevePacket {
    return new GenevePacket(this.vni, this.frame.clone(), this.options);
  }
}
