import type { IpPacket } from "./ip-packet.ts";
import type { Payload } from "./payload.ts";

/** SPI, sequence number, and the eight bytes of the nonce that travel (RFC 4303 section 2, RFC 4106 section 3.1). */
const HEADER_LENGTH = 8 + 8;
/** Length of the padding, next header. */
const TRAILER_LENGTH = 2;
const ALIGNMENT = 4;

/** ESP with AES-GCM in transport mode; nothing is encrypted, but who has another key cannot read it. */
export class EspPacket implements Payload {
  readonly spi: number;
  readonly sequence: number;
  /** Stands for the key that both ends have. */
  readonly key: string;
  /** Bytes of the integrity check value. */
  readonly icvLength: number;
  /** IP protocol of what it carries. */
  readonly protocol: number;
  readonly carried: Payload;

  constructor(
    header: { readonly spi: number; readonly sequence: number },
    sealed: {
      readonly key: string;
      readonly icvLength: number;
      readonly protocol: number;
      readonly carried: Payload;
    },
  ) {
    this.spi = header.spi;
    this.sequence = header.sequence;
    this.key = sealed.key;
    this.icvLength = sealed.icvLength;
    this.protocol = sealed.protocol;
    this.carried = sealed.carried;
  }

  get length(): number {
    const text = Math.ceil((this.carried.length + TRAILER_LENGTH) / ALIGNMENT) * ALIGNMENT;
    return HEADER_LENGTH + text + this.icvLength;
  }

  clone(): EspPacket {
    return new EspPacket(this, {
      key: this.key,
      icvLength: this.icvLength,
      protocol: this.protocol,
      carried: this.carried.clone(),
    });
  }
}

/** The packet as it is when `esp`, which `outer` carries, is decrypted. */
export function decrypted(outer: IpPacket, { carried, protocol }: EspPacket): IpPacket {
  const plain = outer.withPayload(carried);
  plain.protocol = protocol;
  return plain;
}
