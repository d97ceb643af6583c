import {
  SLEEVE_PACKET_OVERHEAD,
  SLEEVE_SEALED_OVERHEAD,
  type SleevePacket,
  type SleeveSeal,
} from "@cnilab/net";

/**
 * Encryption of one connection (router/frame_crypto.go): packets have their room for it, and who has another key cannot read
 * them. Both ends have the number of the connection, which stands for the key that they derive.
 */
export class SleeveCrypto {
  /** `undefined` where nothing is encrypted. */
  readonly #session: bigint | undefined;
  #sent = 0;
  #sentUncut = 0;

  constructor(session: bigint | undefined) {
    this.#session = session;
  }

  /** Bytes of a packet before and behind its frames. */
  get packetOverhead(): number {
    return this.#session === undefined ? SLEEVE_PACKET_OVERHEAD : SLEEVE_SEALED_OVERHEAD;
  }

  /** As traces name it. */
  get protocol(): string {
    return this.#session === undefined ? "sleeve" : "encrypted sleeve";
  }

  seal(dontFragment: boolean): SleeveSeal | undefined {
    const session = this.#session;
    if (session === undefined) return undefined;
    return { session, sequence: dontFragment ? this.#sentUncut++ : this.#sent++, dontFragment };
  }

  opens({ seal }: SleevePacket): boolean {
    return seal?.session === this.#session;
  }
}
