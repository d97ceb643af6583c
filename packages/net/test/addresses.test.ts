import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatIpv6, parseIpv4, parseIpv6 } from "../src/index.ts";
import { ipv6, uint32 } from "./arbitraries.ts";

// Node's own parsers as a second opinion.

const part = fc.oneof(
  fc.constantFrom("", "0", "00", "1", "ffff", "10", "255", "256", "01", "1.2.3.4", "0.0.0.00", "g"),
  fc.nat(300).map(String),
  fc.nat(0x1ffff).map((n) => n.toString(16)),
);
const like = (separators: string[], most: number) =>
  fc
    .array(fc.tuple(part, fc.constantFrom(...separators)), { maxLength: most })
    .map((parts) => parts.flat().slice(0, -1).join(""));

test("the same texts are IPv4 addresses", () => {
  fc.assert(
    fc.property(fc.oneof(like(["."], 5), fc.string()), (text) => {
      expect(parseIpv4(text) !== undefined).toBe(isIPv4(text));
    }),
    { numRuns: 5_000 },
  );
});

test("the same texts are IPv6 addresses", () => {
  fc.assert(
    fc.property(fc.oneof(like([":", ":", "::"], 9), fc.string()), (text) => {
      // A zone belongs to an address as a program writes it, not to the address.
      expect(parseIpv6(text) !== undefined).toBe(isIPv6(text) && !text.includes("%"));
    }),
    { numRuns: 20_000 },
  );
});

test("IPv6 addresses are written as in a URL", () => {
  fc.assert(
    fc.property(ipv6, (address) => {
      const text = formatIpv6(address);
      if (text.includes(".")) return; // URLs have no dotted form
      expect(new URL(`http://[${text}]/`).hostname).toBe(`[${text}]`);
    }),
    { numRuns: 2_000 },
  );
});

test("IPv4 addresses are the number that a URL takes for one", () => {
  fc.assert(
    fc.property(uint32, (address) => {
      expect(parseIpv4(new URL(`http://${address}/`).hostname)).toBe(address);
    }),
  );
});
