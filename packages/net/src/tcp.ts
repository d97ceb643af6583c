import { Data, type Payload } from "./payload.ts";

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;

/** A TCP segment. The only option is the maximum segment size, which a SYN may carry. */
export class TcpSegment implements Payload {
  srcPort: number;
  dstPort: number;
  /** Any of TCP_FIN, TCP_SYN, TCP_RST, TCP_PSH, TCP_ACK, TCP_URG. */
  flags: number;
  seq: number;
  ack: number;
  window = 65535;
  /** Maximum segment size option in bytes; 0 when absent. */
  mss = 0;
  payload: Payload;

  constructor(
    srcPort: number,
    dstPort: number,
    flags: number,
    seq = 0,
    ack = 0,
    payload: Payload = Data.empty,
  ) {
    this.srcPort = srcPort;
    this.dstPort = dstPort;
    this.flags = flags;
    this.seq = seq;
    this.ack = ack;
    this.payload = payload;
  }

  get headerLength(): number {
    return this.mss > 0 ? 24 : 20;
  }

  get length(): number {
    return this.headerLength + this.payload.length;
  }

  clone(): TcpSegment {
    const copy = new TcpSegment(
      this.srcPort,
      this.dstPort,
      this.flags,
      this.seq,
      this.ack,
      this.payload.clone(),
    );
    copy.window = this.window;
    copy.mss = this.mss;
    return copy;
  }
}
