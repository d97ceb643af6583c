import { parsePrefix } from "@cnilab/net";
import { expect, test } from "vitest";
import { blockOrder } from "./block-order.ts";

const SPACE = { cidr: parsePrefix("10.0.0.0/24"), blockSize: 28 };

test("each block comes once, one after the other, round the end", () => {
  const all = [...blockOrder(SPACE, "node-a", () => 0n)].map((block) => block.address as number);
  expect(new Set(all).size).toBe(16);
  all.forEach((address, i) => {
    const next = all[(i + 1) % 16] as number;
    expect((next - address + 256) % 256).toBe(16);
  });
});

test("a host starts at one place in all pools of a size", () => {
  const first = (pool: string) =>
    blockOrder({ cidr: parsePrefix(pool), blockSize: 26 }, "node-a", () => 0n).next().value;
  expect(String(first("10.0.0.0/16"))).toBe("10.0.174.128/26");
  expect(String(first("172.16.0.0/16"))).toBe("172.16.174.128/26");
});

test("the time decides where a block is one address", () => {
  const cidr = parsePrefix("10.0.0.0/24");
  const first = (nanoseconds: bigint) =>
    String(blockOrder({ cidr, blockSize: 32 }, "node-a", () => nanoseconds).next().value);
  const seen = new Set([1n, 2n, 3n, 4n].map(first));
  expect(seen.size).toBeGreaterThan(1);
  expect(first(5n)).toBe(first(5n));
});

test("an IPv6 pool's blocks are more than numbers can count", () => {
  const cidr = parsePrefix("fd00::/48");
  const [first, second] = blockOrder({ cidr, blockSize: 122 }, "node-a", () => 0n);
  expect(first).toBeDefined();
  expect(cidr.covers(second as never)).toBe(true);
});
