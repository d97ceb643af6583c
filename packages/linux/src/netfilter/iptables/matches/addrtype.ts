import { IPV4_BROADCAST, type IpAddress, isMulticast, isUnspecified } from "@cnilab/net";
import type { NetDevice } from "../../../device/net-device.ts";
import type { NetNamespace } from "../../../net-namespace.ts";
import { type Match, type MatchExtension, not, type RulePlace } from "../extension.ts";
import { Complaint, parameterProblem } from "../iptables-error.ts";
import type { Walk } from "../walk.ts";

/** By the number of their bit (`rtn_names` of libxt_addrtype.c). */
const TYPES = [
  "UNSPEC",
  "UNICAST",
  "LOCAL",
  "BROADCAST",
  "ANYCAST",
  "MULTICAST",
  "BLACKHOLE",
  "UNREACHABLE",
  "PROHIBIT",
  "THROW",
  "NAT",
  "XRESOLVE",
] as const;

type AddressType = (typeof TYPES)[number];
type LimitInterface = "none" | "in" | "out";

interface TypeTest {
  readonly mask: number;
  readonly inverted: boolean;
}

class AddrtypeMatch implements Match {
  readonly pure = true;
  readonly #src: TypeTest | undefined;
  readonly #dst: TypeTest | undefined;
  readonly #limit: LimitInterface;

  constructor(src: TypeTest | undefined, dst: TypeTest | undefined, limit: LimitInterface) {
    this.#src = src;
    this.#dst = dst;
    this.#limit = limit;
  }

  matches(walk: Walk): boolean {
    const dev =
      this.#limit === "in" ? walk.state.in : this.#limit === "out" ? walk.state.out : undefined;
    const { packet, netns } = walk;
    return holds(this.#src, netns, packet.src, dev) && holds(this.#dst, netns, packet.dst, dev);
  }

  check(place: RulePlace): void {
    const { chain, family } = place;
    const mask = (this.#src?.mask ?? 0) | (this.#dst?.mask ?? 0);
    // addrtype_mt_checkentry_v1: routing tables of IPv6 do not tell these.
    const unknown = bitOf("BROADCAST") | bitOf("BLACKHOLE");
    const wrong =
      (family === 6 && ((mask & unknown) !== 0 || mask >= bitOf("PROHIBIT"))) ||
      (this.#limit === "out" && (chain === "PREROUTING" || chain === "INPUT")) ||
      (this.#limit === "in" && (chain === "POSTROUTING" || chain === "OUTPUT"));
    if (wrong)
      throw new Complaint(
        "kernel",
        `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`,
      );
  }

  get text(): string {
    let text = "-m addrtype";
    if (this.#src !== undefined)
      text += ` ${not(this.#src.inverted)}--src-type ${format(this.#src)}`;
    if (this.#dst !== undefined)
      text += ` ${not(this.#dst.inverted)}--dst-type ${format(this.#dst)}`;
    return this.#limit === "none" ? text : `${text} --limit-iface-${this.#limit}`;
  }
}

function holds(
  test: TypeTest | undefined,
  netns: NetNamespace,
  address: IpAddress,
  dev: NetDevice | undefined,
): boolean {
  if (test === undefined) return true;
  const fits =
    typeof address === "number"
      ? (bitOf(addressType(netns, address, dev)) & test.mask) !== 0
      : fits6(test.mask, netns, address, dev);
  return fits !== test.inverted;
}

function bitOf(type: AddressType): number {
  return 1 << TYPES.indexOf(type);
}

/** What an address is to this namespace, or to one device of it (`inet_dev_addr_type`). */
function addressType(
  netns: NetNamespace,
  address: number,
  dev: NetDevice | undefined,
): AddressType {
  if (address === IPV4_BROADCAST || address >>> 24 === 0) return "BROADCAST";
  if (isMulticast(address)) return "MULTICAST";
  return netns.fib4.addressType(address, dev).toUpperCase() as AddressType;
}

/** Of IPv6, several types at once ask for all of the first kind and any of the second (`match_type6`). */
function fits6(
  mask: number,
  netns: NetNamespace,
  address: IpAddress,
  dev: NetDevice | undefined,
): boolean {
  const multicast = isMulticast(address);
  const unspecified = isUnspecified(address);
  if ((mask & bitOf("MULTICAST")) !== 0 && !multicast) return false;
  if ((mask & bitOf("UNICAST")) !== 0 && (multicast || unspecified)) return false;
  if ((mask & bitOf("UNSPEC")) !== 0 && !unspecified) return false;
  const routed = bitOf("LOCAL") | bitOf("ANYCAST") | bitOf("UNREACHABLE");
  return (mask & routed) === 0 || (mask & routeTypes6(netns, address, dev)) !== 0;
}

/** `match_lookup_rt6` */
function routeTypes6(netns: NetNamespace, dst: IpAddress, dev: NetDevice | undefined): number {
  const nexthop = netns.fib6.lookup({ ...NO_FLOW, dst, oif: dev });
  if (nexthop === undefined) return bitOf("UNREACHABLE");
  const { type } = nexthop.route;
  if (dev?.hasAddress(dst)) return bitOf("LOCAL");
  if (type === "local") return dev === undefined ? bitOf("LOCAL") : 0;
  if (type === "anycast") return bitOf("ANYCAST");
  const refused = type === "unreachable" || type === "blackhole" || type === "prohibit";
  return refused ? bitOf("UNREACHABLE") : 0;
}

const NO_FLOW = {
  src: undefined,
  iif: undefined,
  mark: 0,
  tos: 0,
  protocol: 0,
  srcPort: 0,
  dstPort: 0,
} as const;

function format(test: TypeTest): string {
  return TYPES.filter((_, bit) => test.mask & (1 << bit)).join();
}

function parseTypes(list: string): number {
  let mask = 0;
  for (const word of list.split(",")) {
    const bit = TYPES.indexOf(word.toUpperCase() as AddressType);
    if (bit < 0) throw parameterProblem(`addrtype: bad type "${word}"`);
    mask |= 1 << bit;
  }
  return mask;
}

export const addrtype: MatchExtension = {
  names: ["addrtype"],
  options: [
    { name: "src-type", args: 1, invertible: true },
    { name: "dst-type", args: 1, invertible: true },
    { name: "limit-iface-in", args: 0 },
    { name: "limit-iface-out", args: 0 },
  ],
  parse(values) {
    const src = values.parsed("src-type", parseTypes);
    const dst = values.parsed("dst-type", parseTypes);
    if (src === undefined && dst === undefined) {
      throw parameterProblem("addrtype: you must specify --src-type or --dst-type");
    }
    const limitIn = values.has("limit-iface-in");
    if (limitIn && values.has("limit-iface-out")) {
      throw parameterProblem(
        "addrtype: you can't specify both --limit-iface-in and --limit-iface-out",
      );
    }
    return new AddrtypeMatch(
      src === undefined ? undefined : { mask: src, inverted: values.isInverted("src-type") },
      dst === undefined ? undefined : { mask: dst, inverted: values.isInverted("dst-type") },
      limitIn ? "in" : values.has("limit-iface-out") ? "out" : "none",
    );
  },
};
