import type { IpAddress } from "@cnilab/net";

/** Values of a packet's mark that something is for; a mask of 0 is for all (`struct xfrm_mark`). */
export interface XfrmMark {
  readonly value: number;
  readonly mask: number;
}

export interface XfrmStateSpec {
  readonly src: IpAddress;
  readonly dst: IpAddress;
  readonly spi: number;
  readonly reqid?: number;
  readonly mark?: XfrmMark;
  /** Packets that may come out of order; with {@link esn} as many as one likes, else 32. */
  readonly replayWindow?: number;
  /** Sequence numbers have 64 bits (`flag esn`). */
  readonly esn?: boolean;
  /** Absent while only the SPI is taken. */
  readonly aead?: XfrmAead;
}

export interface XfrmAead {
  /** As `rfc4106(gcm(aes))`. */
  readonly name: string;
  /** Hexadecimal. */
  readonly key: string;
  readonly icvBits: number;
}

/** A security association: ESP in transport mode between two addresses, in one direction (`struct xfrm_state`). */
export class XfrmState {
  readonly spec: XfrmStateSpec;
  /** Of the last packet that was sent, and of the highest that came. */
  sent = 0;
  received = 0;
  bytes = 0;
  packets = 0;

  constructor(spec: XfrmStateSpec) {
    this.spec = spec;
  }

  /** Whether it can be used, as opposed to an SPI that waits for keys (`XFRM_STATE_VALID`). */
  get isValid(): boolean {
    return this.spec.aead !== undefined;
  }

  count(bytes: number): void {
    this.packets++;
    this.bytes += bytes;
  }
}

/** Whether a packet's mark is one of those. */
export function fitsMark(mark: XfrmMark | undefined, packetMark: number): boolean {
  return mark === undefined || (packetMark & mark.mask) >>> 0 === mark.value;
}
