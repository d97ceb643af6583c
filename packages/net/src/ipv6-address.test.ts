import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ipv6 as anyIpv6, uint32 } from "../test/arbitraries.ts";
import { formatIpv6, Ipv6Address, ipv6, parseIpv6 } from "./ipv6-address.ts";

// RFC 5952 sections 4 and 5
test.each([
  ["0:0:0:0:0:0:0:0", "::"],
  ["0:0:0:0:0:0:0:1", "::1"],
  ["2001:0DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["0:0:1:0:0:0:0:0", "0:0:1::"],
  ["1:0:0:0:0:0:0:0", "1::"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ["::ffff:a00:1", "::ffff:10.0.0.1"],
  ["::ffff:10.0.0.1", "::ffff:10.0.0.1"],
  ["::10.0.0.1", "::a00:1"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
])("%s is written %s", (text, expected) => {
  const address = parseIpv6(text);
  expect(address && formatIpv6(address)).toBe(expected);
  expect(String(address)).toBe(expected);
});

describe("one object an address", () => {
  test("whichever way it was made", () => {
    expect(ipv6(0xfd000000, 0, 0, 1)).toBe(parseIpv6("fd00::1"));
    fc.assert(
      fc.property(uint32, uint32, uint32, uint32, (a, b, c, d) => {
        const address = ipv6(a, b, c, d);
        expect(ipv6(a | 0, b | 0, c | 0, d | 0)).toBe(address);
        expect([0, 1, 2, 3].map((i) => address.word(i))).toEqual([a, b, c, d]);
      }),
    );
  });

  test("also where hashes collide", () => {
    // Enough addresses that some pairs share their 32-bit hash: 200,000 make about five.
    const seen = new Map<number, Ipv6Address>();
    const collisions: [Ipv6Address, Ipv6Address][] = [];
    for (let i = 0; i < 200_000; i++) {
      const address = ipv6(0xfd00c011, i, 0, Math.imul(i, 0x9e3779b1));
      const other = seen.get(address.hash);
      if (other !== undefined) collisions.push([other, address]);
      seen.set(address.hash, address);
    }
    expect(collisions).not.toEqual([]);
    for (const [x, y] of collisions) {
      expect(x).not.toBe(y);
      expect(ipv6(x.a, x.b, x.c, x.d)).toBe(x);
      expect(ipv6(y.a, y.b, y.c, y.d)).toBe(y);
    }
  });

  test("is found by its number, and there are no others", () => {
    const address = ipv6(0xfd00, 0, 0, 0x4711);
    expect(Ipv6Address.at(address.ordinal)).toBe(address);
    expect(() => Ipv6Address.at(-1)).toThrow(RangeError);
  });

  test("cannot be made by hand", () => {
    // @ts-expect-error the constructor is private: only interned instances compare with ===
    expect(new Ipv6Address(0, 0, 0, 1, 0)).not.toBe(ipv6(0, 0, 0, 1));
  });
});

test("text without capitals, leading zeros or more than one gap", () => {
  fc.assert(
    fc.property(anyIpv6, (address) => {
      const text = formatIpv6(address);
      expect(text).toMatch(/^[0-9a-f:.]+$/);
      expect(text).not.toMatch(/(^|:)0[0-9a-f]/);
      expect(text.split("::").length).toBeLessThan(3);
    }),
  );
});
