import { expect, test } from "vitest";
import { crc32c } from "./crc32c.ts";

/** No field to leave out. */
const NOWHERE = 1_000;

// RFC 3720 appendix B.4, and the check value of the CRC catalogue.
test.each([
  ["32 zeros", new Uint8Array(32), 0x8a9136aa],
  ["32 octets of ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ["ascending", Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ["descending", Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ["123456789", Uint8Array.from("123456789", (digit) => 0x30 + Number(digit)), 0xe3069283],
])("%s", (_, bytes, expected) => {
  expect(crc32c(bytes, NOWHERE)).toBe(expected);
});

test("counts the checksum field as zeros", () => {
  const bytes = new Uint8Array(32);
  bytes.fill(0xaa, 8, 12);
  expect(crc32c(bytes, 8)).toBe(0x8a9136aa);
});
