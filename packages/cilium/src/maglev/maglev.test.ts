import { parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type MaglevBackend, maglevTable } from "./maglev.ts";
import { MAGLEV_TABLE_SIZES, maglevConfig } from "./maglev-config.ts";
import { packetHash } from "./packet-hash.ts";

const config = maglevConfig(1021);

function backends(count: number, weight = 1): MaglevBackend[] {
  return Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    address: 0x0a000001 + i,
    port: 80,
    protocol: "TCP",
    weight,
  }));
}

describe("Maglev tables", () => {
  test("share slots evenly where nobody has a weight, to one slot", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), (count) => {
        const slots = new Map<number, number>();
        for (const id of maglevTable(backends(count), config)) {
          slots.set(id, (slots.get(id) ?? 0) + 1);
        }
        expect(slots.size).toBe(count);
        expect(Math.max(...slots.values()) - Math.min(...slots.values())).toBeLessThanOrEqual(1);
      }),
    );
  });

  test("know no order of backends and no numbers of them", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(backends(12), { minLength: 2 }), (some) => {
        const table = maglevTable(some, config);
        const renumbered = maglevTable(
          some.toReversed().map((backend) => ({ ...backend, id: backend.id + 1000 })),
          config,
        );
        expect([...renumbered]).toEqual([...table].map((id) => id + 1000));
      }),
    );
  });

  test("leave most slots alone when a backend goes", () => {
    const before = maglevTable(backends(10), config);
    const after = maglevTable(backends(9), config);
    const moved = before.filter((id, slot) => id !== 10 && id !== after[slot]).length;
    expect(moved / before.length).toBeLessThan(0.2);
  });

  test("of no backends lead nowhere", () => {
    expect(maglevTable([], config).every((id) => id === 0)).toBe(true);
  });

  test.each([
    ["a size that is none of the primes", 1000, undefined, /maglev.tableSize/],
    ["a seed that is no base64", 1021, "!", /not base64/],
    ["a seed of other than 12 bytes", 1021, "AAAA", /holds 3 bytes/],
  ])("refuse %s", (_what, size, seed, message) => {
    expect(() => maglevConfig(size, seed)).toThrow(message);
  });

  test.each(MAGLEV_TABLE_SIZES.slice(0, 6))("can have %i slots", (size) => {
    expect(maglevTable(backends(3), maglevConfig(size))).toHaveLength(size);
  });
});

describe("the hash of a packet", () => {
  // What bpf/lib/hash.h of v1.18.8 gives, compiled for x86-64 with the default seeds.
  test.each([
    ["10.0.0.1", 41234, 80, 3977388251],
    ["192.0.2.77", 1, 65535, 3138403157],
    ["255.254.253.252", 32768, 30080, 2094761747],
    ["fd00::1", 41234, 80, 433151214],
    ["2001:db8:1:2:3:4:5:6", 0, 443, 1873382935],
  ])("of %s:%i to port %i is %i", (client, clientPort, servicePort, hash) => {
    const tuple = { client: parseIp(client), clientPort, servicePort, protocol: 6 };
    expect(packetHash(tuple, maglevConfig())).toBe(hash);
  });
});
