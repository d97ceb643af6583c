import fc from "fast-check";
import { type IpAddress, Ipv6Address, Prefix } from "../src/index.ts";

export const uint8: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xff });
export const uint16: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffff });
export const uint32: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffffffff });

/** Words that make runs of zeros likely. */
const word: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, 0xffff, 0x10000, 0xffffffff),
  uint32,
);

export const ipv4: fc.Arbitrary<number> = uint32;
export const ipv6: fc.Arbitrary<Ipv6Address> = fc
  .tuple(word, word, word, word)
  .map(([a, b, c, d]) => Ipv6Address.of(a, b, c, d));
export const ip: fc.Arbitrary<IpAddress> = fc.oneof(ipv4, ipv6);
export const mac: fc.Arbitrary<number> = fc.integer({ min: 0, max: 0xffffffffffff });

export const prefix: fc.Arbitrary<Prefix> = fc
  .tuple(ip, fc.integer({ min: 0, max: 128 }))
  .map(([address, length]) =>
    typeof address === "number" ? new Prefix(address, length % 33) : new Prefix(address, length),
  );

/** Few different addresses of both families, so that prefixes of them often nest. */
export const crowdedIp: fc.Arbitrary<IpAddress> = fc
  .tuple(
    fc.boolean(),
    fc.constantFrom(0x0a000000, 0x0a400000, 0xc0a80000),
    fc.nat(0x3f),
    fc.nat(31),
  )
  .map(([v4, high, bits, shift]) => {
    const low = (high ^ (bits << shift)) >>> 0;
    return v4 ? low : Ipv6Address.of(0xfd000000, bits & 1, low, (bits << shift) >>> 0);
  });

export const crowdedPrefix: fc.Arbitrary<Prefix> = fc
  .tuple(crowdedIp, fc.integer({ min: 0, max: 128 }))
  .map(
    ([address, length]) => new Prefix(address, typeof address === "number" ? length % 33 : length),
  );
