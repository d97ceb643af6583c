import { type IpAddress, Ipv6Address, Prefix } from "../../src/index.ts";
import { randomUint32 } from "../measure.ts";

/** Lengths in a global BGP table with their shares in percent, roughly. */
const BGP_LENGTHS = new Map([
  [16, 1],
  [17, 1],
  [18, 2],
  [19, 3],
  [20, 5],
  [21, 5],
  [22, 12],
  [23, 10],
  [24, 60],
  [32, 1],
]);

const random: () => number = randomUint32(7);

/** Tables that are looked up in, by name. */
export const prefixTables: Record<string, () => Prefix[]> = {
  "3 routes": () => routes(1),
  "8 routes": () => routes(6),
  "16 routes": () => routes(14),
  "5,000 pod CIDRs": () => routes(5_000),
  "5,000 of 8 to 32 bits": () => distinct(5_000, () => new Prefix(random(), 8 + (random() % 25))),
  "100,000 like BGP": () => distinct(100_000, () => new Prefix(random(), bgpLength())),
  "100,000 hosts": () => distinct(100_000, () => Prefix.host(random())),
  "5,000 IPv6 pod CIDRs": () =>
    Array.from({ length: 5_000 }, (_, i) => new Prefix(Ipv6Address.of(0xfd001234, i, 0, 0), 64)),
  "100,000 IPv6 hosts": () =>
    distinct(100_000, () => Prefix.host(Ipv6Address.of(0xfd001234, 0, random(), random()))),
};

/** A random address in a random one of the prefixes. */
export function randomAddressIn(prefixes: readonly Prefix[]): IpAddress {
  const { address, length } = prefixes[random() % prefixes.length] as Prefix;
  const low = random();
  if (typeof address === "number") return (address + (low % 2 ** (32 - length))) >>> 0;
  return length === 128 ? address : Ipv6Address.of(address.a, address.b, low, low);
}

/** A default route, a cluster CIDR and a number of pod CIDRs. */
function routes(podCidrs: number): Prefix[] {
  const pods = Array.from({ length: podCidrs }, (_, i) => new Prefix(0x0a800000 + i * 256, 24));
  return [new Prefix(0, 0), new Prefix(0x0a800000, 9), ...pods];
}

function distinct(count: number, create: () => Prefix): Prefix[] {
  const found = new Map<string, Prefix>();
  while (found.size < count) {
    const prefix = create();
    found.set(String(prefix), prefix);
  }
  return [...found.values()];
}

function bgpLength(): number {
  let at = random() % 100;
  for (const [length, share] of BGP_LENGTHS) {
    at -= share;
    if (at < 0) return length;
  }
  return 24;
}
