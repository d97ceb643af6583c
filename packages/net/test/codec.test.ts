import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Data,
  type Decoded,
  decodeEthernet,
  decodeIp,
  decrypted,
  EspPacket,
  ETH_P_IP,
  EthernetFrame,
  encodeEthernet,
  encodeIp,
  ICMP_DEST_UNREACH,
  ICMP_PORT_UNREACH,
  IcmpMessage,
  IPPROTO_ESP,
  IPPROTO_ICMP,
  IPPROTO_IPIP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  PacketSyntaxError,
  parseIp,
  QuotedPacket,
  SleevePacket,
  TCP_SYN,
  TcpSegment,
  UdpDatagram,
  WireguardData,
} from "../src/index.ts";
import { fragments, frame, packet } from "./packet-arbitraries.ts";

describe("round trip", () => {
  test("a frame decodes to what was encoded", () => {
    fc.assert(
      fc.property(frame, (p) => {
        const bytes = encodeEthernet(p);
        expect(bytes.length).toBe(p.length);
        expect(decodeEthernet(bytes)).toStrictEqual({ packet: p, badChecksums: [] });
        expect(encodeEthernet(decodeEthernet(bytes).packet)).toEqual(bytes);
      }),
      { numRuns: 1_000 },
    );
  });

  test("an IP packet decodes to what was encoded", () => {
    fc.assert(
      fc.property(packet, (p) => {
        const bytes = encodeIp(p);
        expect(bytes.length).toBe(p.length);
        expect(decodeIp(bytes)).toStrictEqual({ packet: p, badChecksums: [] });
      }),
      { numRuns: 1_000 },
    );
  });

  test("the payloads of fragments make up that of the whole", () => {
    fc.assert(
      fc.property(fragments, ({ whole, cuts }) => {
        const parts = cuts.flatMap((cut) => {
          const { packet } = decodeIp(encodeIp(cut));
          expect(packet.fragmentOffset).toBe(cut.fragmentOffset);
          return [...((packet.payload as Data).bytes ?? [])];
        });
        if (cuts.length > 1) {
          expect(parts).toEqual([...encodeIp(whole).subarray(whole.headerLength)]);
        }
      }),
    );
  });

  test("what is cut off in an ICMP error is read as zeros", () => {
    const segment = new TcpSegment(1, 2, TCP_SYN, 3, 4, Data.of(new Uint8Array(100).fill(7)));
    const about = new IpPacket(0x0a000001, 0x0a000002, IPPROTO_TCP, segment);
    const error = (length: number) => {
      const quote = new QuotedPacket(about, length);
      const message = new IcmpMessage(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0, quote);
      const { packet } = decodeIp(
        encodeIp(new IpPacket(0x0a000002, 0x0a000001, IPPROTO_ICMP, message)),
      );
      return (packet.payload as IcmpMessage).payload;
    };
    const withFlags = error(43) as QuotedPacket;
    expect(withFlags.packet.payload).toMatchObject({
      srcPort: 1,
      dstPort: 2,
      seq: 3,
      flags: TCP_SYN,
    });
    expect((withFlags.packet.payload as TcpSegment).payload.bytes?.subarray(0, 4)).toEqual(
      Uint8Array.of(7, 7, 7, 0),
    );
    // No more than RFC 792 demands: ports and sequence number.
    const short = error(28) as QuotedPacket;
    expect(short.packet.length).toBe(about.length);
    expect(short.packet.payload).toMatchObject({ srcPort: 1, dstPort: 2, seq: 3, flags: 0 });
    // Too short for an IP header.
    expect(error(19)).toBeInstanceOf(Data);
  });
});

describe("what decodes to data", () => {
  test("application data without bytes is zeros", () => {
    const p = new IpPacket(1, 2, IPPROTO_UDP, new UdpDatagram(3, 4, new Data(5)));
    const { packet } = decodeIp(encodeIp(p));
    expect((packet.payload as UdpDatagram).payload).toEqual(Data.of(new Uint8Array(5)));
  });

  test("the bytes of a class of somebody else's", () => {
    const query = { length: 4, bytes: Uint8Array.of(1, 2), clone: () => query };
    const { packet } = decodeIp(
      encodeIp(new IpPacket(1, 2, IPPROTO_UDP, new UdpDatagram(3, 4, query))),
    );
    expect((packet.payload as UdpDatagram).payload).toEqual(Data.of(Uint8Array.of(1, 2, 0, 0)));
  });

  test("WireGuard is opaque and of the right size", () => {
    const inner = new IpPacket(5, 6, IPPROTO_UDP, new UdpDatagram(7, 8, new Data(100)));
    const message = new WireguardData("key", inner);
    const p = new IpPacket(1, 2, IPPROTO_UDP, new UdpDatagram(51820, 51820, message));
    // 16 of header, 128 padded to 16, 16 of tag.
    const { payload } = decodeIp(encodeIp(p)).packet.payload as UdpDatagram;
    expect(payload).toBeInstanceOf(Data);
    expect(payload.length).toBe(16 + 128 + 16);
    expect(payload.bytes?.subarray(0, 4)).toEqual(Uint8Array.of(4, 0, 0, 0));
  });

  test.each([
    ["a plain sleeve packet", undefined],
    ["an encrypted sleeve packet", { session: 5n, sequence: 0x1_0000_0002, dontFragment: true }],
  ])("%s", (_, seal) => {
    const frame = new EthernetFrame(1, 2, ETH_P_IP, new IpPacket(5, 6, IPPROTO_UDP, new Data(10)));
    const heartbeat = new EthernetFrame(0, 0, 0, Data.of(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)));
    const carried = { src: 0x01_02_03_04_05_06, dst: 0x0a, number: undefined };
    const frames = [frame, heartbeat].map((one) => ({ ...carried, frame: one }));
    const packet = new SleevePacket(0x0b, frames, seal);
    const { payload } = decodeIp(
      encodeIp(new IpPacket(1, 2, IPPROTO_UDP, new UdpDatagram(6783, 6783, packet))),
    ).packet.payload as UdpDatagram;
    const bytes = [...(payload.bytes as Uint8Array)];
    // Frames of 14 + 20 + 10 and 14 + 8 bytes.
    expect(bytes.length).toBe((seal === undefined ? 6 : 30) + 14 + 44 + 14 + 22);
    expect(bytes.slice(0, 6)).toEqual([0, 0, 0, 0, 0, 0x0b]);
    if (seal !== undefined) {
      expect(bytes.slice(6, 14)).toEqual([0x80, 0, 0, 1, 0, 0, 0, 2]);
      expect(new Set(bytes.slice(14))).toEqual(new Set([0]));
      return;
    }
    const header = [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0x0a, 0];
    expect(bytes.slice(6)).toEqual([
      ...header,
      44,
      ...encodeEthernet(frame),
      ...header,
      22,
      ...encodeEthernet(heartbeat),
    ]);
    expect(packet.clone()).toEqual(packet);
  });

  test("ESP is opaque and of the right size", () => {
    const carried = new UdpDatagram(1, 2, new Data(10));
    const sealed = { key: "key", icvLength: 16, protocol: IPPROTO_UDP, carried };
    const esp = new EspPacket({ spi: 0xc8dd5d0a, sequence: 7 }, sealed);
    const outer = new IpPacket(1, 2, IPPROTO_ESP, esp);
    const { payload } = decodeIp(encodeIp(outer)).packet;
    // 16 of header, 18 padded to 20 with two of trailer, 16 of check value.
    expect(payload.length).toBe(16 + 20 + 16);
    expect([...(payload.bytes?.subarray(0, 9) ?? [])]).toEqual([
      0xc8, 0xdd, 0x5d, 0x0a, 0, 0, 0, 7, 0,
    ]);
    expect(esp.clone()).toEqual(esp);
    expect(decrypted(outer, esp)).toEqual(new IpPacket(1, 2, IPPROTO_UDP, carried));
  });

  test("packets nested too deep", () => {
    let p = new IpPacket(1, 2, IPPROTO_UDP, new UdpDatagram(3, 4));
    for (let i = 0; i < 3_000; i++) p = new IpPacket(1, 2, IPPROTO_IPIP, p);
    let depth = 0;
    let inside = decodeIp(encodeIp(p)).packet.payload;
    for (; inside instanceof IpPacket; depth++) inside = inside.payload;
    expect(inside).toBeInstanceOf(Data);
    expect(depth).toBe(16);
  });
});

describe("any bytes", () => {
  type Decode = (bytes: Uint8Array) => Decoded<EthernetFrame | IpPacket>;

  test.each<[string, Decode]>([
    ["decodeEthernet", decodeEthernet],
    ["decodeIp", decodeIp],
  ])("%s: random bytes decode or are a PacketSyntaxError", (_, decode) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        decodesOrSaysWhy(decode, bytes);
      }),
      { numRuns: 2_000 },
    );
  });

  // Bytes of real packets with some changed reach deeper than random ones.
  const damaged = <P>(of: fc.Arbitrary<P>, encode: (p: P) => Uint8Array) =>
    fc
      .tuple(
        of,
        fc.array(fc.tuple(fc.oneof(fc.nat(80), fc.nat(1500)), fc.nat(255)), { maxLength: 4 }),
        fc.option(fc.nat(1500)),
      )
      .map(([p, changes, end]) => {
        const bytes = encode(p);
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        return end === null ? bytes : bytes.subarray(0, end);
      });

  test.each<[string, fc.Arbitrary<Uint8Array>, Decode, (packet: never) => Uint8Array]>([
    ["frames", damaged(frame, encodeEthernet), decodeEthernet, encodeEthernet],
    ["packets", damaged(packet, encodeIp), decodeIp, encodeIp],
  ])(
    "damaged %s decode to something that encodes and decodes to itself",
    (_, of, decode, encode) => {
      fc.assert(
        fc.property(of, (bytes) => {
          const decoded = decodesOrSaysWhy(decode, bytes);
          if (decoded === undefined) return;
          const again = decode(encode(decoded.packet as never));
          expect(again).toStrictEqual({ packet: decoded.packet, badChecksums: [] });
        }),
        { numRuns: 3_000 },
      );
    },
  );

  test("a view of a larger buffer is read within its bounds", () => {
    fc.assert(
      fc.property(frame, (p) => {
        const bytes = encodeEthernet(p);
        const larger = new Uint8Array(bytes.length + 50).fill(0xff);
        larger.set(bytes, 21);
        const view = larger.subarray(21, 21 + bytes.length);
        expect(decodeEthernet(view)).toStrictEqual({ packet: p, badChecksums: [] });
      }),
    );
  });
});

function decodesOrSaysWhy<T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T | undefined {
  try {
    return decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(PacketSyntaxError);
    return undefined;
  }
}

describe("addresses", () => {
  test("of both families survive", () => {
    const p = new IpPacket(parseIp("fd00::1"), parseIp("fd00::2"), 253, Data.empty);
    expect(String(decodeIp(encodeIp(p)).packet.dst)).toBe("fd00::2");
  });
});
