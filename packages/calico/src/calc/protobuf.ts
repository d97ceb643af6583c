import { utf8ToBytes } from "@noble/hashes/utils.js";

const VARINT = 0;
const LENGTH_DELIMITED = 2;

/** Writes a message in the protocol buffers' wire format; whoever calls keeps the order of field numbers. */
export class ProtobufWriter {
  readonly #bytes: number[] = [];

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  /** A number from 0 to 2^31 - 1; 0 is left out unless `always`, as in a oneof. */
  int(field: number, value: number | undefined, always = false): this {
    if (value === undefined || (value === 0 && !always)) return this;
    this.#varint(field * 8 + VARINT);
    this.#varint(value);
    return this;
  }

  /** An empty one is left out, unless `always`. */
  string(field: number, value: string | undefined, always = false): this {
    if (value === undefined || (value === "" && !always)) return this;
    return this.#delimited(field, utf8ToBytes(value));
  }

  strings(field: number, values: readonly string[] | undefined): this {
    for (const value of values ?? []) this.string(field, value, true);
    return this;
  }

  message(field: number, message: ProtobufWriter | undefined): this {
    return message === undefined ? this : this.#delimited(field, message.#bytes);
  }

  messages<T>(
    field: number,
    values: readonly T[] | undefined,
    write: (value: T) => ProtobufWriter,
  ): this {
    for (const value of values ?? []) this.message(field, write(value));
    return this;
  }

  #delimited(field: number, bytes: ArrayLike<number>): this {
    this.#varint(field * 8 + LENGTH_DELIMITED);
    this.#varint(bytes.length);
    for (let i = 0; i < bytes.length; i++) this.#bytes.push(bytes[i] as number);
    return this;
  }

  #varint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes.push((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes.push(rest);
  }
}
