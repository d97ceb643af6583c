import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ipv6 as anyIpv6, ip, ipv4 } from "../test/arbitraries.ts";
import {
  AddressSyntaxError,
  addressBits,
  addToIp,
  bigIntToIpv6,
  compareIp,
  familyOf,
  formatEndpoint,
  formatIp,
  hashIp,
  ipv6ToBigInt,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseIp,
  tryParseIp,
} from "./ip-address.ts";

test.each([
  ["10.0.0.1", 4, 32],
  ["fd00::1", 6, 128],
  ["::ffff:10.0.0.1", 6, 128],
] as const)("%s is of family %i", (text, family, bits) => {
  expect(familyOf(parseIp(text))).toBe(family);
  expect(addressBits(family)).toBe(bits);
});

describe("text", () => {
  test("parses back to the same address, by identity", () => {
    fc.assert(
      fc.property(ip, (address) => {
        expect(parseIp(formatIp(address))).toBe(address);
      }),
    );
  });

  test.each([
    [""],
    [" 10.0.0.1"],
    ["10.0.0"],
    ["10.0.0.1.2"],
    ["10.0.0.256"],
    ["10.0.0.01"],
    ["10.0.0.-1"],
    ["10.0.0.0x1"],
    ["10.0.0.1/24"],
    ["1e3.0.0.1"],
    [":"],
    [":::"],
    ["1::2::3"],
    [":1:2:3:4:5:6:7"],
    ["1:2:3:4:5:6:7:"],
    ["1:2:3:4:5:6:7"],
    ["1:2:3:4:5:6:7:8:9"],
    ["1:2:3:4::5:6:7:8"],
    ["12345::"],
    ["g::"],
    ["fe80::1%eth0"],
    ["[::1]"],
    ["::1.2.3"],
    ["::1.2.3.04"],
    ["1.2.3.4::"],
    ["::1.2.3.4:5"],
    ["1:2:3:4:5:6:7:1.2.3.4"],
    ["node-1"],
  ])("%j is no address", (text) => {
    expect(tryParseIp(text)).toBeUndefined();
    expect(() => parseIp(text)).toThrow(new AddressSyntaxError(text, "an IP address"));
  });

  test("the error says what it was given", () => {
    expect(() => parseIp("10.0.0.256")).toThrow('"10.0.0.256" is not an IP address');
  });

  test.each([
    ["10.0.0.1", 80, "10.0.0.1:80"],
    ["fd00::1", 80, "[fd00::1]:80"],
  ])("the endpoint of %s and %i is %s", (address, port, expected) => {
    expect(formatEndpoint(parseIp(address), port)).toBe(expected);
  });
});

test.each([
  ["0.0.0.0", "unspecified"],
  ["::", "unspecified"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.255", "loopback"],
  ["128.0.0.0", ""],
  ["126.255.255.255", ""],
  ["::1", "loopback"],
  ["::2", ""],
  ["::ffff:127.0.0.1", ""],
  ["224.0.0.0", "multicast"],
  ["239.255.255.255", "multicast"],
  ["223.255.255.255", ""],
  ["240.0.0.0", ""],
  ["255.255.255.255", ""],
  ["ff02::1", "multicast"],
  ["feff::", ""],
  ["169.254.0.0", "link-local"],
  ["169.253.255.255", ""],
  ["169.255.0.0", ""],
  ["fe80::", "link-local"],
  ["febf:ffff::", "link-local"],
  ["fec0::", ""],
  ["fe7f::", ""],
  ["10.0.0.1", ""],
])("%s is %j", (text, kind) => {
  const address = parseIp(text);
  const kinds = [
    isUnspecified(address) ? "unspecified" : "",
    isLoopback(address) ? "loopback" : "",
    isMulticast(address) ? "multicast" : "",
    isLinkLocal(address) ? "link-local" : "",
  ];
  expect(kinds.filter((each) => each !== "").join()).toBe(kind);
});

describe("order and sums", () => {
  test.each([
    ["10.0.0.1", 1, "10.0.0.2"],
    ["10.0.0.255", 1, "10.0.1.0"],
    ["10.0.0.0", -1, "9.255.255.255"],
    ["255.255.255.255", 1, "0.0.0.0"],
    ["0.0.0.0", -1, "255.255.255.255"],
    ["fd00::ffff:ffff", 1, "fd00::1:0:0"],
    ["fd00::", -1, "fcff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1, "::"],
  ])("%s + %i is %s", (from, offset, expected) => {
    expect(formatIp(addToIp(parseIp(from), offset))).toBe(expected);
  });

  test("IPv6 addresses are 128-bit numbers", () => {
    expect(ipv6ToBigInt(parseIp("1:2:3:4:5:6:7:8") as never)).toBe(
      0x10002000300040005000600070008n,
    );
    fc.assert(
      fc.property(anyIpv6, (address) => {
        expect(bigIntToIpv6(ipv6ToBigInt(address))).toBe(address);
      }),
    );
  });

  test("IPv4 goes before IPv6, and values in their order", () => {
    const value = (address: ReturnType<typeof parseIp>) =>
      typeof address === "number" ? BigInt(address) : (1n << 128n) + ipv6ToBigInt(address);
    fc.assert(
      fc.property(ip, ip, (x, y) => {
        const [left, right] = [value(x), value(y)];
        expect(Math.sign(compareIp(x, y))).toBe(left < right ? -1 : left > right ? 1 : 0);
      }),
    );
  });
});

test("hashes spread neighbouring addresses over few buckets", () => {
  const fullest = (hashes: number[]) => {
    const buckets = new Array<number>(64).fill(0);
    for (const hash of hashes) buckets[hash & 63] = (buckets[hash & 63] as number) + 1;
    return Math.max(...buckets);
  };
  // 64 an average bucket; a plain modulo of a step of 64 would put all into one.
  for (const step of [1, 64, 256, 65_536]) {
    const offsets = Array.from({ length: 4096 }, (_, i) => i * step);
    expect(fullest(offsets.map((offset) => hashIp(addToIp(0x0a000000, offset))))).toBeLessThan(128);
    const v6 = offsets.map((offset) => hashIp(addToIp(parseIp("fd00::"), offset)));
    expect(fullest(v6)).toBeLessThan(128);
  }
  fc.assert(
    fc.property(ipv4, (address) => {
      const hash = hashIp(address);
      expect(hash).toBe(hash >>> 0);
    }),
  );
});
