import { formatIp, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type AddressPool, AddressPools } from "./address-pools.ts";

function pool(name: string, first: string, last: string, autoAssign = true): AddressPool {
  return { name, autoAssign, ranges: [{ first: parseIp(first), last: parseIp(last) }] };
}

const POOLS = [
  pool("small", "192.0.2.1", "192.0.2.2"),
  pool("six", "2001:db8::1", "2001:db8::2"),
  pool("kept", "198.51.100.1", "198.51.100.1", false),
];

test("addresses are given in order, each once, and what comes back is given again", () => {
  const pools = new AddressPools(POOLS);
  const take = (owner: string) => pools.allocate(owner, [4]).map(formatIp).join();
  expect([take("a"), take("b")]).toEqual(["192.0.2.1", "192.0.2.2"]);
  expect(() => take("c")).toThrow("no available IPs");
  pools.release("a");
  expect([take("c"), take("b")]).toEqual(["192.0.2.1", "192.0.2.2"]);
});

test("two families get an address each, or none does", () => {
  const pools = new AddressPools(POOLS);
  expect(pools.allocate("a", [6, 4]).map(formatIp)).toEqual(["2001:db8::1", "192.0.2.1"]);
  pools.allocate("b", [4]);
  expect(() => pools.allocate("c", [4, 6])).toThrow("no available IPs");
  expect([pools.heldBy("c"), pools.ownerOf(parseIp("2001:db8::2"))]).toEqual([[], undefined]);
});

test.each<[string, string | undefined, string]>([
  ["a pool by its name only", "kept", "198.51.100.1"],
  ["an unknown pool", "none", 'unknown pool "none"'],
  ["a pool without addresses of the family", "six", 'no available IPs in pool "six"'],
])("%s", (_, name, expected) => {
  const pools = new AddressPools(POOLS);
  const take = () => pools.allocate("a", [4], name).map(formatIp).join();
  if (/^\d/.test(expected)) expect(take()).toBe(expected);
  else expect(take).toThrow(expected);
});

test.each<[string, string, string | undefined]>([
  ["in a pool", "192.0.2.2", undefined],
  ["in no pool", "192.0.2.3", '"192.0.2.3" is not allowed in config'],
  ["that somebody has", "192.0.2.1", 'address "192.0.2.1" is already in use by b'],
])("taking an address %s", (_, text, refused) => {
  const pools = new AddressPools(POOLS);
  pools.allocate("b", [4]);
  const take = () => pools.take("a", [parseIp(text)]);
  if (refused === undefined) expect(take()).toEqual([parseIp(text)]);
  else expect(take).toThrow(refused);
});

test("what was there before is adopted from anywhere, but from nobody", () => {
  const pools = new AddressPools(POOLS);
  expect(pools.adopt("a", [parseIp("10.9.9.9")])).toEqual([parseIp("10.9.9.9")]);
  expect(pools.adopt("b", [parseIp("10.9.9.9")])).toEqual([]);
  expect(pools.ownerOf(parseIp("10.9.9.9"))).toBe("a");
});

test("no address has two owners, whatever comes and goes", () => {
  const owners = fc.constantFrom("a", "b", "c", "d");
  const addresses = fc.constantFrom("192.0.2.1", "192.0.2.2", "192.0.2.3").map(parseIp);
  const step = fc.oneof(
    fc.record({ do: fc.constant("allocate" as const), owner: owners }),
    fc.record({ do: fc.constant("release" as const), owner: owners }),
    fc.record({ do: fc.constant("take" as const), owner: owners, address: addresses }),
    fc.record({ do: fc.constant("adopt" as const), owner: owners, address: addresses }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const pools = new AddressPools(POOLS);
      for (const s of steps) {
        try {
          if (s.do === "allocate") pools.allocate(s.owner, [4]);
          else if (s.do === "release") pools.release(s.owner);
          else pools[s.do](s.owner, [s.address]);
        } catch (error) {
          expect((error as Error).name).toBe("AddressPoolError");
        }
      }
      const held = ["a", "b", "c", "d"].flatMap((o) => pools.heldBy(o).map((a) => [a, o] as const));
      expect(new Set(held.map(([a]) => a)).size).toBe(held.length);
      for (const [address, owner] of held) expect(pools.ownerOf(address)).toBe(owner);
    }),
  );
});
