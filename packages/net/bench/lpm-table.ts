/**
 * `LpmTable` against other structures for longest-prefix match: `node bench/lpm-table.ts [TABLE]`.
 * Each is measured in a process of its own, so that one does not spoil another's compiled code.
 */
import { execFileSync } from "node:child_process";
import { type IpAddress, LpmTable } from "../src/index.ts";
import { BinaryTrie } from "./lpm/binary-trie.ts";
import { BytePages } from "./lpm/byte-pages.ts";
import type { Contender } from "./lpm/contender.ts";
import { HashPerLength } from "./lpm/hash-per-length.ts";
import { MapPerLength } from "./lpm/map-per-length.ts";
import { prefixTables, randomAddressIn } from "./lpm/prefixes.ts";
import { bytesInUse, nanosecondsPer } from "./measure.ts";

const REFERENCE = "Map per length";
const contenders: Record<string, () => Contender> = {
  [REFERENCE]: () => new MapPerLength(),
  LpmTable: () => new LpmTable<number>(),
  "hash per length": () => new HashPerLength(),
  "binary trie": () => new BinaryTrie(),
  "8-bit pages": () => new BytePages(),
};

interface Figures {
  lookupNs: number;
  setNs: number;
  bytes: number;
}

const [table, contender] = process.argv.slice(2);
if (table !== undefined && contender !== undefined) {
  process.stdout.write(JSON.stringify(measured(table, contender)));
} else {
  for (const name of table === undefined ? Object.keys(prefixTables) : [table]) compare(name);
}

function compare(table: string): void {
  console.log(`\n${table.padEnd(24)} ns a lookup   of reference   ns a set   bytes a prefix`);
  let reference: Figures | undefined;
  for (const name of Object.keys(contenders)) {
    if (table.includes("IPv6") && name !== "LpmTable") continue;
    const figures = inOwnProcess(table, name);
    reference ??= figures;
    const ratio = `${(figures.lookupNs / reference.lookupNs).toFixed(2)}`;
    const cells = [figures.lookupNs.toFixed(1), ratio, figures.setNs.toFixed(0)];
    const widths = [11, 14, 10];
    const row = cells.map((cell, i) => cell.padStart(widths[i] as number)).join(" ");
    console.log(`  ${name.padEnd(22)} ${row} ${figures.bytes.toFixed(0).padStart(16)}`);
  }
}

function inOwnProcess(table: string, contender: string): Figures {
  const script = process.argv[1] as string;
  return JSON.parse(execFileSync(process.execPath, [script, table, contender]).toString());
}

function measured(table: string, name: string): Figures {
  const prefixes = prefixTables[table]?.() ?? [];
  const create = contenders[name] as () => Contender;
  const filled = () => {
    const contender = create();
    for (let i = 0; i < prefixes.length; i++) contender.set(prefixes[i] as never, i);
    return contender;
  };
  const copies = Math.max(1, Math.ceil(50_000 / prefixes.length));
  const { result, bytes } = bytesInUse(() => Array.from({ length: copies }, filled));
  const setNs = nanosecondsPer(prefixes.length, filled);

  const contender = result[0] as Contender;
  const addresses = Array.from({ length: 1 << 16 }, () => randomAddressIn(prefixes));
  const lookupNs = nanosecondsPer(addresses.length, () => lookUpAll(contender, addresses));
  return { lookupNs, setNs, bytes: bytes / copies / prefixes.length };
}

function lookUpAll(contender: Contender, addresses: readonly IpAddress[]): number {
  let sum = 0;
  for (const address of addresses) sum += contender.lookup(address) ?? 0;
  return sum;
}
