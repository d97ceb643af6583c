/** What a header carries: anything with a length in bytes. */
export interface Payload {
  /** Bytes on the wire, all headers inside included. */
  readonly length: number;
  /** What an application's own class is on the wire: at most `length` bytes, zeros after them. */
  readonly bytes?: Uint8Array | undefined;
  /** An independent copy of everything that a forwarding node may rewrite. */
  clone(): Payload;
}

/** Application bytes. Without `bytes` they count and travel, and are zeros when encoded. */
export class Data implements Payload {
  readonly length: number;
  readonly bytes: Uint8Array | undefined;

  constructor(length: number, bytes?: Uint8Array) {
    this.length = length;
    this.bytes = bytes;
  }

  static of(bytes: Uint8Array): Data {
    return new Data(bytes.length, bytes);
  }

  static readonly empty: Data = new Data(0);

  /** Data is immutable. */
  clone(): this {
    return this;
  }
}
