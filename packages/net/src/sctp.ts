import { Data, type Payload } from "./payload.ts";

export const SCTP_DATA = 0;
export const SCTP_INIT = 1;
export const SCTP_INIT_ACK = 2;
export const SCTP_SACK = 3;
export const SCTP_ABORT = 6;
export const SCTP_SHUTDOWN = 7;
export const SCTP_SHUTDOWN_ACK = 8;
export const SCTP_COOKIE_ECHO = 10;
export const SCTP_COOKIE_ACK = 11;
export const SCTP_SHUTDOWN_COMPLETE = 14;

/** An SCTP packet with one chunk (RFC 9260). */
export class SctpPacket implements Payload {
  srcPort: number;
  dstPort: number;
  verificationTag: number;
  chunkType: number;
  /** The sender's own tag, in INIT and INIT ACK chunks only. */
  initiateTag = 0;
  payload: Payload;

  constructor(
    srcPort: number,
    dstPort: number,
    chunkType: number,
    verificationTag = 0,
    payload: Payload = Data.empty,
  ) {
    this.srcPort = srcPort;
    this.dstPort = dstPort;
    this.verificationTag = verificationTag;
    this.chunkType = chunkType;
    this.payload = payload;
  }

  /** Bytes of the chunk's own header and fixed fields, which depend on its type. */
  get chunkHeaderLength(): number {
    switch (this.chunkType) {
      case SCTP_DATA:
      case SCTP_SACK:
        return 16;
      case SCTP_INIT:
      case SCTP_INIT_ACK:
        return 20;
      case SCTP_SHUTDOWN:
        return 8;
      default:
        return 4;
    }
  }

  /** Bytes before the payload: the common header and {@link chunkHeaderLength}. */
  get headerLength(): number {
    return 12 + this.chunkHeaderLength;
  }

  /** Chunks are padded to a multiple of four bytes (RFC 9260 section 3.2). */
  get length(): number {
    return this.headerLength + Math.ceil(this.payload.length / 4) * 4;
  }

  clone(): SctpPacket {
    const copy = new SctpPacket(
      this.srcPort,
      this.dstPort,
      this.chunkType,
      this.verificationTag,
      this.payload.clone(),
    );
    copy.initiateTag = this.initiateTag;
    return copy;
  }
}
