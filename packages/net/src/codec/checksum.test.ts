import { expect, test } from "vitest";
import { octets } from "../../test/octets.ts";
import { internetChecksum } from "./checksum.ts";

test.each([
  // The sum of RFC 1071 section 3 is ddf2.
  ["RFC 1071 section 3", "0000 0001 f203 f4f5 f6f7", 0x220d],
  // https://en.wikipedia.org/wiki/Internet_checksum
  ["an IPv4 header", "0000 4500 0073 0000 4000 4011 c0a8 0001 c0a8 00c7", 0xb861],
  ["an odd octet at the end", "0000 0001 f2", 0x0dfe],
  ["only zeros", "0000 0000", 0xffff],
  ["all ones", "0000 ffff", 0],
  ["the field itself does not count", "1234 ffff", 0],
])("%s", (_, hex, expected) => {
  expect(internetChecksum(new DataView(octets(hex).buffer), 0)).toBe(expected);
});
