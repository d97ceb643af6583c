import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { prefix as anyPrefix, crowdedIp, crowdedPrefix } from "../test/arbitraries.ts";
import { AddressSyntaxError, addToIp, compareIp, formatIp, parseIp } from "./ip-address.ts";
import { Ipv6Address } from "./ipv6-address.ts";
import {
  ipv4Mask,
  maskIp,
  Prefix,
  parseInterfaceAddress,
  parsePrefix,
  tryParseInterfaceAddress,
  tryParsePrefix,
} from "./prefix.ts";

describe("text", () => {
  test.each([
    ["10.244.1.7/24", "10.244.1.0/24"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["255.255.255.255/0", "0.0.0.0/0"],
    ["10.0.0.1/32", "10.0.0.1/32"],
    ["10.0.0.3/31", "10.0.0.2/31"],
    ["fd00:10:244:1::7/64", "fd00:10:244:1::/64"],
    ["fd00::ffff:ffff/127", "fd00::ffff:fffe/127"],
    ["fd00:ffff::/17", "fd00:8000::/17"],
    ["::1/0", "::/0"],
  ])("%s is the network %s", (text, expected) => {
    expect(String(parsePrefix(text))).toBe(expected);
  });

  test.each([
    [""],
    ["/"],
    ["10.0.0.0"],
    ["10.0.0.0/"],
    ["/24"],
    ["10.0.0.0/33"],
    ["10.0.0.0/-1"],
    ["10.0.0.0/08"],
    ["10.0.0.0/8 "],
    ["10.0.0.0/8/8"],
    ["10.0.0.0/255.0.0.0"],
    ["10.0.0/8"],
    ["fd00::/129"],
    ["fd00::/1e1"],
    ["fd00::/0x10"],
    ["default"],
  ])("%j is no prefix", (text) => {
    expect(tryParsePrefix(text)).toBeUndefined();
    expect(tryParseInterfaceAddress(text)).toBeUndefined();
    expect(() => parsePrefix(text)).toThrow(
      new AddressSyntaxError(text, "a prefix in CIDR notation"),
    );
    expect(() => parseInterfaceAddress(text)).toThrow(
      new AddressSyntaxError(text, "an address with a prefix length"),
    );
  });

  test("an interface address keeps its host bits", () => {
    expect(parseInterfaceAddress("10.244.1.7/24")).toEqual({
      address: parseIp("10.244.1.7"),
      length: 24,
    });
  });

  test("parses back to an equal prefix", () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(parsePrefix(String(prefix)).equals(prefix)).toBe(true);
      }),
    );
  });

  test("any text parses or is an AddressSyntaxError", () => {
    const near = fc.string({ unit: fc.constantFrom(..."0123456789abf:./ -%") });
    fc.assert(
      fc.property(fc.oneof(near, fc.string()), (text) => {
        try {
          expect(parsePrefix(text)).toBeInstanceOf(Prefix);
        } catch (error) {
          expect(error).toBeInstanceOf(AddressSyntaxError);
          expect((error as AddressSyntaxError).message).toContain(text);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

test.each([
  ["10.0.0.0", 33, "prefix length 33 is outside 0..32"],
  ["10.0.0.0", -1, "prefix length -1 is outside 0..32"],
  ["10.0.0.0", 8.5, "prefix length 8.5 is outside 0..32"],
  ["fd00::", 129, "prefix length 129 is outside 0..128"],
])("a prefix of %s and length %d: %s", (address, length, message) => {
  expect(() => new Prefix(parseIp(address), length)).toThrow(new RangeError(message));
});

test.each([
  [0, 0],
  [1, 0x80000000],
  [24, 0xffffff00],
  [31, 0xfffffffe],
  [32, 0xffffffff],
])("the mask of length %i", (length, mask) => {
  expect(ipv4Mask(length)).toBe(mask);
});

describe("what is in a prefix", () => {
  test.each([
    ["10.244.0.0/16", "10.244.255.255", true],
    ["10.244.0.0/16", "10.245.0.0", false],
    ["0.0.0.0/0", "255.255.255.255", true],
    ["0.0.0.0/0", "::", false],
    ["::/0", "0.0.0.0", false],
    ["::/0", "ffff::", true],
    ["fd00::/8", "fdff::1", true],
    ["fd00::/33", "fd00:0:8000::", false],
    ["fd00::/33", "fd00:0:7fff::", true],
    ["fd00::1/128", "fd00::1", true],
    ["fd00::1/128", "fd00::2", false],
  ])("%s contains %s: %s", (prefix, address, expected) => {
    expect(parsePrefix(prefix).contains(parseIp(address))).toBe(expected);
  });

  test("is what masking with its length shows, and lies between its ends", () => {
    fc.assert(
      fc.property(crowdedPrefix, crowdedIp, (prefix, address) => {
        const sameFamily = (typeof address === "number") === (prefix.family === 4);
        const masked = sameFamily && maskIp(address, prefix.length) === prefix.address;
        expect(prefix.contains(address)).toBe(masked);
        const between =
          compareIp(prefix.address, address) <= 0 && compareIp(address, prefix.last) <= 0;
        expect(prefix.contains(address)).toBe(sameFamily && between);
      }),
    );
  });

  // The table of known addresses is never emptied: asking must not fill it.
  test("is told without making addresses", () => {
    const prefix = parsePrefix("fd00:1::/40");
    const asked = [1, 2, 3].map((i) => Ipv6Address.of(0xfd000001, 0x12345678, i, 0xabcdef));
    const before = Ipv6Address.of(0xfd00ffff, 1, 1, 1).ordinal;
    for (const address of asked) prefix.contains(address);
    expect(Ipv6Address.of(0xfd00ffff, 1, 1, 2).ordinal).toBe(before + 1);
  });
});

test.each([
  ["10.0.0.0/8", "10.1.0.0/16", "covers"],
  ["10.1.0.0/16", "10.0.0.0/8", "is covered"],
  ["10.0.0.0/8", "10.0.0.0/8", "both"],
  ["10.0.0.0/16", "10.1.0.0/16", "apart"],
  ["0.0.0.0/0", "::/0", "apart"],
  ["fd00::/8", "fd00:1::/32", "covers"],
])("%s and %s: %s", (x, y, relation) => {
  const [left, right] = [parsePrefix(x), parsePrefix(y)];
  const covers = left.covers(right);
  const covered = right.covers(left);
  expect(covers ? (covered ? "both" : "covers") : covered ? "is covered" : "apart").toBe(relation);
  expect(left.overlaps(right)).toBe(relation !== "apart");
  expect(right.overlaps(left)).toBe(relation !== "apart");
});

test.each([
  ["10.244.0.0/16", 0, 24, "10.244.0.0/24"],
  ["10.244.0.0/16", 255, 24, "10.244.255.0/24"],
  ["0.0.0.0/0", 1, 1, "128.0.0.0/1"],
  ["10.0.0.0/31", 1, 32, "10.0.0.1/32"],
  ["10.0.0.0/24", 0, 24, "10.0.0.0/24"],
  ["fd00:10:244::/48", 0xffff, 64, "fd00:10:244:ffff::/64"],
  ["fd00::/8", 2n ** 56n - 1n, 64, "fdff:ffff:ffff:ffff::/64"],
])("of %s network %s of length %i is %s", (prefix, index, length, expected) => {
  expect(String(parsePrefix(prefix).subnet(index, length))).toBe(expected);
});

test.each([
  ["10.244.0.0/16", 256, 24, "10.244.0.0/16 has 256 networks of length 24, not one numbered 256"],
  ["10.244.0.0/16", -1, 24, "10.244.0.0/16 has 256 networks of length 24, not one numbered -1"],
  ["10.244.0.0/16", 0, 8, "10.244.0.0/16 has 0 networks of length 8, not one numbered 0"],
  ["10.244.0.0/16", 0, 33, "10.244.0.0/16 has 0 networks of length 33, not one numbered 0"],
])("of %s network %i of length %i: %s", (prefix, index, length, message) => {
  expect(() => parsePrefix(prefix).subnet(index, length)).toThrow(new RangeError(message));
});

test("the networks of a prefix fill it without a gap", () => {
  fc.assert(
    fc.property(anyPrefix, fc.integer({ min: 0, max: 6 }), (prefix, more) => {
      const length = prefix.length + more;
      if (length > (prefix.family === 4 ? 32 : 128)) return;
      let next = prefix.address;
      for (let i = 0; i < 1 << more; i++) {
        const subnet = prefix.subnet(i, length);
        expect(prefix.covers(subnet)).toBe(true);
        expect(subnet.address).toBe(next);
        next = addToIp(subnet.last, 1);
      }
      expect(next).toBe(addToIp(prefix.last, 1));
    }),
  );
});

test.each([
  ["10.0.0.0/24", "10.0.0.255", 256n, false],
  ["10.0.0.1/32", "10.0.0.1", 1n, true],
  ["0.0.0.0/0", "255.255.255.255", 2n ** 32n, false],
  ["fd00::/64", "fd00::ffff:ffff:ffff:ffff", 2n ** 64n, false],
  ["::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 2n ** 128n, false],
  ["::1/128", "::1", 1n, true],
])("%s ends with %s", (text, last, size, isHost) => {
  const prefix = parsePrefix(text);
  expect(formatIp(prefix.last)).toBe(last);
  expect(prefix.size).toBe(size);
  expect(prefix.isHost).toBe(isHost);
  expect(Prefix.host(prefix.address).equals(prefix)).toBe(isHost);
});
