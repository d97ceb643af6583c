import { InputError } from "@cnilab/core";
import { base64 } from "@scure/base";

/** Primes that a table may have for its size (pkg/maglev). The paper asks for 100 times as many slots as backends. */
export const MAGLEV_TABLE_SIZES: readonly number[] = [
  251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071,
];

export const DEFAULT_MAGLEV_TABLE_SIZE = 16381;

/** The same in all clusters that do not set their own. */
export const DEFAULT_MAGLEV_HASH_SEED = "JLfvgnHc2kaSUFaI";

/** What all agents of a cluster must agree on, so that any of them sends a connection to the same backend. */
export interface MaglevConfig {
  readonly tableSize: number;
  /** Of the names of backends. */
  readonly murmurSeed: number;
  /** Of packets (`HASH_INIT4_SEED`). */
  readonly jhashSeed4: number;
  /** `HASH_INIT6_SEED`. */
  readonly jhashSeed6: number;
}

/** Reads Helm's `maglev.tableSize` and `maglev.hashSeed`. @throws InputError */
export function maglevConfig(
  tableSize: number = DEFAULT_MAGLEV_TABLE_SIZE,
  hashSeed: string = DEFAULT_MAGLEV_HASH_SEED,
): MaglevConfig {
  if (!MAGLEV_TABLE_SIZES.includes(tableSize)) {
    throw new InputError(
      `is ${tableSize}; the sizes that there are: ${MAGLEV_TABLE_SIZES.join(", ")}`,
      "maglev.tableSize",
    );
  }
  const words = new DataView(seedBytes(hashSeed).buffer);
  return {
    tableSize,
    murmurSeed: words.getUint32(0),
    jhashSeed4: words.getUint32(4),
    jhashSeed6: words.getUint32(8),
  };
}

function seedBytes(hashSeed: string): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array;
  try {
    bytes = base64.decode(hashSeed);
  } catch {
    throw new InputError(
      "is not base64; make one with: head -c12 /dev/urandom | base64 -w0",
      "maglev.hashSeed",
    );
  }
  if (bytes.length !== 12) {
    throw new InputError(`holds ${bytes.length} bytes; it must be 12 in base64`, "maglev.hashSeed");
  }
  return new Uint8Array(bytes);
}
