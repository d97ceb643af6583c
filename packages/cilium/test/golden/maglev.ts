import { createHash } from "node:crypto";
import { parseIp } from "@cnilab/net";
import { maglevName, maglevTable, permutation } from "../../src/maglev/maglev.ts";
import { maglevConfig } from "../../src/maglev/maglev-config.ts";
import { murmur3 } from "../../src/maglev/murmur3.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface MaglevCommon {
  readonly defaultSeed: string;
  readonly seedJhash0: number;
  readonly seedJhash1: number;
  readonly seedMurmur: number;
}

interface MaglevCase {
  readonly backends: readonly {
    readonly id: number;
    readonly ip: string;
    readonly port: number;
    readonly proto: string;
    readonly weight: number;
    readonly scope?: number;
  }[];
  readonly tableSize: number;
  readonly seed: string;
  readonly hashStrings: Readonly<Record<string, string>>;
  readonly first64: readonly number[];
  readonly sha256LE32: string;
  readonly slots: Readonly<Record<string, number>>;
  readonly table?: readonly number[];
}

export const maglev: GoldenRun<MaglevCommon, MaglevCase> = ({ common, case: golden }) => {
  const standard = maglevConfig(golden.tableSize, common.defaultSeed);
  const config = maglevConfig(golden.tableSize, golden.seed);
  const backends = golden.backends.map(({ id, ip, port, proto, weight, scope }) => ({
    id,
    address: parseIp(ip),
    port,
    protocol: proto,
    weight,
    internal: scope === 1,
  }));
  const table = maglevTable(backends, config);
  const counts: Record<string, number> = {};
  for (const id of table) counts[id] = (counts[id] ?? 0) + 1;
  const { first64, slots, sha256LE32 } = golden;
  return difference(
    {
      seeds: [common.seedMurmur, common.seedJhash0, common.seedJhash1],
      names: golden.hashStrings,
      first64,
      slots,
      sha256LE32,
      table: golden.table,
    },
    {
      seeds: [standard.murmurSeed, standard.jhashSeed4, standard.jhashSeed6],
      names: Object.fromEntries(backends.map((b) => [b.id, maglevName(b)])),
      first64: [...table.subarray(0, 64)],
      slots: counts,
      sha256LE32: littleEndianDigest(table),
      table: golden.table && [...table],
    },
  );
};

interface Murmur3Case {
  readonly input: string;
  readonly seed: number;
  readonly h1: string;
  readonly h2: string;
  readonly offset: Readonly<Record<string, number>>;
  readonly skip: Readonly<Record<string, number>>;
}

export const murmur: GoldenRun<undefined, Murmur3Case> = ({ case: golden }) => {
  const { h1, h2 } = murmur3(golden.input, golden.seed);
  const sizes = Object.keys(golden.offset);
  const all = sizes.map((size) => permutation(golden.input, Number(size), golden.seed));
  return difference(
    { h1: golden.h1, h2: golden.h2, offset: golden.offset, skip: golden.skip },
    {
      h1: hex(h1),
      h2: hex(h2),
      offset: Object.fromEntries(sizes.map((size, i) => [size, all[i]?.offset])),
      skip: Object.fromEntries(sizes.map((size, i) => [size, all[i]?.skip])),
    },
  );
};

function hex(word: bigint): string {
  return word.toString(16).padStart(16, "0");
}

function littleEndianDigest(table: Uint32Array): string {
  const bytes = new DataView(new ArrayBuffer(table.length * 4));
  table.forEach((id, i) => {
    bytes.setUint32(i * 4, id, true);
  });
  return createHash("sha256").update(new Uint8Array(bytes.buffer)).digest("hex");
}
