import fc from "fast-check";
import { expect, test } from "vitest";
import { crowdedIp, crowdedPrefix } from "../test/arbitraries.ts";
import { type IpAddress, parseIp } from "./ip-address.ts";
import { Ipv6Address } from "./ipv6-address.ts";
import { LpmTable } from "./lpm-table.ts";
import { Prefix, parsePrefix } from "./prefix.ts";

/** The plain truth: every prefix is asked. */
class LinearTable {
  readonly entries: [Prefix, number][] = [];

  set(prefix: Prefix, value: number): void {
    this.delete(prefix);
    this.entries.push([prefix, value]);
    this.entries.sort(([x], [y]) => Prefix.compare(x, y));
  }

  delete(prefix: Prefix): boolean {
    const index = this.entries.findIndex(([p]) => p.equals(prefix));
    if (index >= 0) this.entries.splice(index, 1);
    return index >= 0;
  }

  get(prefix: Prefix): number | undefined {
    return this.entries.find(([p]) => p.equals(prefix))?.[1];
  }

  lookupShorter(address: IpAddress, below: number): number | undefined {
    const fit = this.entries.filter(([p]) => p.length < below && p.contains(address));
    return fit.sort(([x], [y]) => y.length - x.length)[0]?.[1];
  }
}

/** A value of `undefined` deletes. */
const changes = (size: fc.SizeForArbitrary) =>
  fc.array(fc.tuple(crowdedPrefix, fc.option(fc.nat(), { nil: undefined, freq: 3 })), {
    maxLength: 200,
    size,
  });

test.each([["small" as const], ["max" as const]])("agrees with a linear table (%s)", (size) => {
  fc.assert(
    fc.property(changes(size), fc.array(crowdedIp), fc.nat(129), (all, addresses, below) => {
      const table = new LpmTable<number>();
      const linear = new LinearTable();
      for (const [prefix, value] of all) {
        if (value === undefined) {
          expect(table.delete(prefix)).toBe(linear.delete(prefix));
        } else {
          table.set(prefix, value);
          linear.set(prefix, value);
        }
      }
      expect(table.size).toBe(linear.entries.length);
      expect([...table].map(([p, v]) => `${p} ${v}`)).toEqual(
        linear.entries.map(([p, v]) => `${p} ${v}`),
      );
      for (const [prefix] of all) expect(table.get(prefix)).toBe(linear.get(prefix));
      for (const address of [...addresses, ...all.map(([p]) => p.address)]) {
        expect(table.lookup(address)).toBe(linear.lookupShorter(address, 129));
        expect(table.lookupShorter(address, below)).toBe(linear.lookupShorter(address, below));
      }
      for (const [prefix] of all) expect(table.delete(prefix)).toBe(linear.delete(prefix));
      expect(table.size).toBe(0);
      expect([...table]).toEqual([]);
    }),
  );
});

test("agrees with a Map for each length when large, while it grows and while it shrinks", () => {
  const table = new LpmTable<Prefix>();
  const byLength = Array.from({ length: 33 }, () => new Map<number, Prefix>());
  let seed = 1;
  const random = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed ^ (seed >>> 15)) >>> 0;
  };
  const check = () => {
    for (let i = 0; i < 2_000; i++) {
      const address = random() >>> (random() & 4);
      const found = byLength
        .map((map, length) => map.get(new Prefix(address, length).address as number))
        .findLast((prefix) => prefix !== undefined);
      expect(table.lookup(address)).toBe(found);
    }
  };
  const all: Prefix[] = [];
  for (let i = 0; i < 40_000; i++) {
    // At first below one page deep down, so that pages above it come late.
    const address = i < 20_000 ? 0x0a400000 + (random() >>> 10) : random() >>> (random() & 4);
    const prefix = new Prefix(address, i % 50 === 0 ? 8 + (random() % 12) : 20 + (random() % 13));
    table.set(prefix, prefix);
    byLength[prefix.length]?.set(prefix.address as number, prefix);
    all.push(prefix);
    if (i % 10_000 === 9_999) check();
  }
  for (const [i, prefix] of all.entries()) {
    table.delete(prefix);
    byLength[prefix.length]?.delete(prefix.address as number);
    if (i % 10_000 === 9_999) check();
  }
  expect(table.size).toBe(0);
});

const routes = [
  "0.0.0.0/0",
  "10.244.0.0/16",
  "10.244.1.0/24",
  "10.244.1.7/32",
  "fd00::/8",
  "fd00:10:244:1::/64",
];

test.each([
  ["10.244.1.7", ["10.244.1.7/32", "10.244.1.0/24", "10.244.0.0/16", "0.0.0.0/0"]],
  ["10.244.1.8", ["10.244.1.0/24", "10.244.0.0/16", "0.0.0.0/0"]],
  ["10.244.2.1", ["10.244.0.0/16", "0.0.0.0/0"]],
  ["255.255.255.255", ["0.0.0.0/0"]],
  ["fd00:10:244:1::9", ["fd00:10:244:1::/64", "fd00::/8"]],
  ["fd00:10:244:2::9", ["fd00::/8"]],
  ["2001:db8::1", []],
])("from the longest match of %s backwards: %j", (text, expected) => {
  const address = parseIp(text);
  // Six prefixes are a list, with a hundred more it is a trie.
  for (const more of [0, 100]) {
    const table = new LpmTable<Prefix>();
    for (const prefix of routes.map(parsePrefix)) table.set(prefix, prefix);
    for (let i = 0; i < more; i++) {
      const v4 = new Prefix(0x14000000 + i * 256, 24);
      const v6 = new Prefix(Ipv6Address.of(0x20010000, i, 0, 0), 64);
      table.set(v4, v4);
      table.set(v6, v6);
    }
    const found: string[] = [];
    let next = table.lookup(address);
    while (next !== undefined) {
      found.push(String(next));
      next = table.lookupShorter(address, next.length);
    }
    expect(found).toEqual(expected);
  }
});

test("may be changed while it is iterated", () => {
  const table = new LpmTable<number>();
  for (let i = 0; i < 20; i++) table.set(new Prefix(i * 256, 24), i);
  for (const [prefix] of table) table.delete(prefix);
  expect(table.size).toBe(0);
});
