import { describe, expect, test } from "vitest";
import { octets } from "../test/octets.ts";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, type PcapngPacket, PcapngWriter } from "./pcapng.ts";

const SECTION = `
  0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffff ffffffff
  0400 0600 636e696c6162 0000 00000000 2c000000`;
const ETH0 =
  "01000000 28000000 0100 0000 00000000 0200 0400 65746830 0900 0100 09000000 00000000 28000000";
const TUN0 = `
  01000000 38000000 6500 0000 00000000 0200 0500 74756e3a30000000 0300 0500 612f622f63000000
  0900 0100 09000000 00000000 38000000`;

/** A writer with one device whose own blocks have been taken. */
function oneDevice(): PcapngWriter {
  const writer = new PcapngWriter();
  writer.addDevice({ name: "eth0", linkType: LINKTYPE_ETHERNET });
  writer.take();
  return writer;
}

test("a section starts with the program's name, and describes each device", () => {
  const writer = new PcapngWriter();
  expect(writer.addDevice({ name: "eth0", linkType: LINKTYPE_ETHERNET })).toBe(0);
  const tun = { name: "tun:0", linkType: LINKTYPE_RAW, description: "a/b/c" };
  expect(writer.addDevice(tun)).toBe(1);
  expect(writer.take()).toEqual(octets(SECTION + ETH0 + TUN0));
});

const packet = (more: Partial<PcapngPacket> = {}): PcapngPacket => ({
  device: 0,
  timeMs: 0,
  bytes: octets("01020304"),
  ...more,
});

test.each<[string, PcapngPacket, string]>([
  [
    "no options",
    packet(),
    "06000000 24000000 00000000 00000000 00000000 04000000 04000000 01020304 24000000",
  ],
  [
    "padding",
    packet({ bytes: octets("0102030405") }),
    "06000000 28000000 00000000 00000000 00000000 05000000 05000000 01020304 05000000 28000000",
  ],
  [
    "inbound",
    packet({ direction: "inbound" }),
    "06000000 30000000 00000000 00000000 00000000 04000000 04000000 01020304 0200 0400 01000000 00000000 30000000",
  ],
  [
    "outbound, with a comment of two letters in three bytes",
    packet({ direction: "outbound", comment: "aé" }),
    "06000000 38000000 00000000 00000000 00000000 04000000 04000000 01020304 0100 0300 61c3a900 0200 0400 02000000 00000000 38000000",
  ],
  [
    // 0x1_0000_0000 + 1 ns
    "a time of 64 bits in nanoseconds",
    packet({ timeMs: 4294.967297 }),
    "06000000 24000000 00000000 01000000 01000000 04000000 04000000 01020304 24000000",
  ],
])("a packet: %s", (_, each, expected) => {
  const writer = oneDevice();
  writer.addPacket(each);
  expect(writer.take()).toEqual(octets(expected));
});

describe("pieces", () => {
  test("make up the file, in the order of writing", () => {
    const inPieces = new PcapngWriter();
    const atOnce = new PcapngWriter();
    const pieces: Uint8Array[] = [];
    for (let i = 0; i < 50; i++) {
      for (const writer of [inPieces, atOnce]) {
        const device = writer.addDevice({ name: `eth${i}`, linkType: LINKTYPE_ETHERNET });
        writer.addPacket(packet({ device, timeMs: i, bytes: new Uint8Array(i * 31).fill(i) }));
      }
      pieces.push(inPieces.take());
    }
    expect(pieces.flatMap((piece) => [...piece])).toEqual([...atOnce.take()]);
    expect(inPieces.take()).toEqual(new Uint8Array(0));
  });

  test("stay as they are when writing goes on", () => {
    const writer = oneDevice();
    writer.addPacket(packet({ bytes: octets("ffffffff") }));
    const piece = writer.take();
    const before = piece.slice();
    writer.addPacket(packet());
    expect(piece).toEqual(before);
  });
});

test.each([[-1], [1], [Number.NaN]])("device %s was not added", (device) => {
  expect(() => oneDevice().addPacket(packet({ device }))).toThrow(
    new RangeError(`no device ${device}: 1 were added`),
  );
});

test("a comment longer than an option can be is cut", () => {
  const writer = oneDevice();
  writer.addPacket(packet({ comment: "x".repeat(70_000) }));
  const piece = writer.take();
  const view = new DataView(piece.buffer);
  expect(view.getUint32(4, true)).toBe(piece.length);
  expect(view.getUint16(34, true)).toBe(65_535);
});
