import { SeededRandom, VirtualClock } from "@cnilab/core";
import { formatIp, type Prefix, parseIp, parsePrefix } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Kernel, type KernelError, Network } from "../index.ts";
import { BpfArray, BpfProgArray } from "./array-map.ts";
import { type AnyBpfMap, BPF_EXIST, BPF_NOEXIST } from "./bpf-map.ts";
import { BpfProgram } from "./bpf-program.ts";
import { BpfHash } from "./hash-map.ts";
import { BpfLpmTrie } from "./lpm-map.ts";
import { BpfLruHash } from "./lru-hash.ts";
import { SharedHashEntries, SharedLpmEntries } from "./shared-entries.ts";

const kernel = () => new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "machine");
const pack = (key: number) => key;
const hash = (maxEntries: number) =>
  new BpfHash<number, string>(kernel(), { name: "h", maxEntries, pack });
const lru = (maxEntries: number) =>
  new BpfLruHash<number, string>(kernel(), { name: "l", maxEntries, pack });
const encode = ({ address, length }: Prefix) => ({
  prefixLength: length,
  words: [address as number],
});
const trie = (maxEntries: number) =>
  new BpfLpmTrie<Prefix, string>(kernel(), { name: "t", maxEntries, bits: 32, encode });
const prefix = (key: number) => parsePrefix(`10.0.0.${key}/32`);

/** The error number of a call, or `ok`. */
function errno(call: () => void): string {
  try {
    call();
    return "ok";
  } catch (error) {
    return (error as KernelError).errno;
  }
}

// Asked of Linux 6.18 by the calls of bpf(2), see test/node/real-bpf.test.ts.
describe.each<[string, () => AnyBpfMap, (n: number) => unknown, Record<string, string>]>([
  [
    "hash",
    () => hash(2),
    (n) => n,
    { full: "E2BIG", exists: "EEXIST", absent: "ENOENT", deleted: "ENOENT" },
  ],
  [
    "lru_hash",
    () => lru(2),
    (n) => n,
    { full: "ok", exists: "EEXIST", absent: "ENOENT", deleted: "ENOENT" },
  ],
  [
    "lpm_trie",
    () => trie(2),
    prefix,
    { full: "ENOSPC", exists: "EEXIST", absent: "ENOENT", deleted: "ENOENT" },
  ],
  [
    "array",
    () => new BpfArray(kernel(), { name: "a", maxEntries: 2 }, () => "0"),
    (n) => n - 1,
    { full: "E2BIG", exists: "EEXIST", absent: "E2BIG", deleted: "EINVAL" },
  ],
])("a map of type %s", (_type, make, key, expected) => {
  const filled = () => {
    const map = make();
    map.update(key(1), "a");
    map.update(key(2), "b");
    return map;
  };

  test("that is full", () => {
    const map = filled();
    expect(errno(() => map.update(key(3), "c"))).toBe(expected["full"]);
    expect(map.size).toBe(2);
    expect(errno(() => map.update(key(2), "d"))).toBe("ok");
    expect(map.get(key(2))).toBe("d");
  });

  test("BPF_NOEXIST, BPF_EXIST, delete", () => {
    const map = filled();
    expect(errno(() => map.update(key(1), "x", BPF_NOEXIST))).toBe(expected["exists"]);
    expect(errno(() => map.update(key(9), "x", BPF_EXIST))).toBe(expected["absent"]);
    expect(errno(() => map.delete(key(9)))).toBe(expected["deleted"]);
    expect(map.get(key(1))).toBe("a");
  });
});

test("an LRU map keeps what programs ask for", () => {
  const map = lru(3);
  const gone: number[] = [];
  map.onEvict = (key) => gone.push(key);
  for (const key of [1, 2, 3]) map.update(key, "x");
  map.find(1);
  map.get(2); // an agent's look does not count
  for (const key of [4, 5]) map.update(key, "x");
  expect([gone, map.evictions, map.find(1)]).toEqual([[2, 3], 2, "x"]);
});

test("a trie takes a key's own length for the most", () => {
  const map = trie(9);
  for (const text of ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"])
    map.update(parsePrefix(text), text);
  const found = (text: string) => map.get(parsePrefix(text));
  expect([
    found("10.1.2.3/32"),
    found("10.1.2.3/12"),
    found("10.2.0.1/32"),
    found("11.0.0.0/4"),
  ]).toEqual(["10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8", "0.0.0.0/0"]);
});

test("elements of an array are there from the start, programs are not", () => {
  const machine = kernel();
  const counters = new BpfArray(machine, { name: "c", maxEntries: 2 }, () => ({ packets: 0 }));
  const counter = counters.find(1);
  if (counter !== undefined) counter.packets++;
  expect(counters.entries()).toEqual([
    [0, { packets: 0 }],
    [1, { packets: 1 }],
  ]);
  expect(counters.find(2)).toBe(undefined);
  const calls = new BpfProgArray(machine, { name: "calls", maxEntries: 2 });
  calls.update(1, new BpfProgram(machine, { type: "xdp", name: "p", run: () => 2 }));
  expect([calls.size, calls.find(0), calls.find(1)?.name]).toEqual([1, undefined, "p"]);
});

/** What is done to a map and what it shares with others: sets and deletes of either, by a few prefixes. */
const changes = fc.array(
  fc.record({
    shared: fc.boolean(),
    remove: fc.boolean(),
    restore: fc.boolean(),
    address: fc.integer({ min: 0, max: 255 }),
    length: fc.constantFrom(0, 1, 7, 24, 26, 27, 30, 32),
    value: fc.string({ maxLength: 3 }).map((s) => `v${s}`),
  }),
  { maxLength: 40 },
);

test("a trie with shared entries answers as a list of both would", () => {
  fc.assert(
    fc.property(
      changes,
      fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }),
      (all, asked) => {
        const machine = kernel();
        const shared = new SharedLpmEntries<Prefix, string>(machine.network, 32, encode);
        const map = new BpfLpmTrie<Prefix, string>(machine, {
          name: "t",
          maxEntries: 999,
          bits: 32,
          encode,
        });
        map.shared = shared;
        const own = new Map<string, string | undefined>();
        const theirs = new Map<string, string>();
        for (const { shared: isShared, remove, restore, address, length, value } of all) {
          const mask = length === 0 ? 0 : (-1 << (32 - length)) >>> 0;
          const key = parsePrefix(`${formatIp(((0x0a000000 | address) & mask) >>> 0)}/${length}`);
          const text = key.toString();
          if (restore && !isShared) {
            map.restoreShared(key);
            own.delete(text);
          } else if (isShared) {
            if (remove) theirs.delete(text);
            else theirs.set(text, value);
            if (remove) shared.delete(key);
            else shared.set(key, value);
          } else if (remove) {
            const there = own.has(text) ? own.get(text) !== undefined : theirs.has(text);
            expect(errno(() => map.delete(key))).toBe(there ? "ok" : "ENOENT");
            if (!there) continue;
            if (theirs.has(text)) own.set(text, undefined);
            else own.delete(text);
          } else {
            map.update(key, value);
            own.set(text, value);
          }
        }
        const both = new Map<string, string | undefined>([...theirs, ...own]);
        const seen = [...both].filter((e): e is [string, string] => e[1] !== undefined);
        expect(map.size).toBe(seen.length);
        expect(
          map
            .entries()
            .map(([k, v]) => `${k} ${v}`)
            .sort(),
        ).toEqual(seen.map(([k, v]) => `${k} ${v}`).sort());
        for (const address of asked) {
          const ip = parseIp(`10.0.0.${address}`);
          const best = seen
            .map(([text, value]) => [parsePrefix(text), value] as const)
            .filter(([p]) => p.contains(ip))
            .sort(([a], [b]) => b.length - a.length)[0];
          expect(map.find(parsePrefix(`10.0.0.${address}/32`))).toBe(best?.[1]);
        }
      },
    ),
  );
});

test("a hash map with shared entries: its own stand above them, deletes hide them", () => {
  const machine = kernel();
  const shared = new SharedHashEntries<number, string>(machine.network, pack);
  const map = new BpfHash<number, string>(machine, { name: "h", maxEntries: 4, pack });
  map.shared = shared;
  for (const key of [1, 2, 3]) shared.set(key, "shared");
  map.update(1, "own");
  map.delete(2);
  expect([map.find(1), map.find(2), map.find(3), map.size]).toEqual([
    "own",
    undefined,
    "shared",
    2,
  ]);
  expect(errno(() => map.delete(2))).toBe("ENOENT");
  map.update(4, "own");
  map.update(5, "own");
  expect(errno(() => map.update(6, "own"))).toBe("E2BIG");
  expect(new Map(map.entries())).toEqual(
    new Map([
      [1, "own"],
      [4, "own"],
      [5, "own"],
      [3, "shared"],
    ]),
  );
});
