import {
  IPPROTO_ICMPV6,
  IPV4_BROADCAST,
  IPV6_ANY,
  type IpAddress,
  type Ipv6Address,
  isLinkLocal,
  isMulticast,
} from "@cnilab/net";
import type { NetDevice } from "../../device/net-device.ts";
import type { Nexthop, Route } from "../../fib/route.ts";
import { NF_INET_PRE_ROUTING } from "../hooks.ts";
import { nameToValue } from "./data-type.ts";
import type { FibExpression } from "./expression.ts";
import { writeWords } from "./key-words.ts";
import type { Source } from "./source.ts";
import type { Walk } from "./walk.ts";

/** `RTN_…` of include/uapi/linux/rtnetlink.h. */
const ROUTE_TYPES: Readonly<Record<string, number>> = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
};

/** Types of routes that lead to no device, or to this machine. Broadcasts and groups leave by one. */
const NO_WAY_OUT: readonly Route["type"][] = [
  "local",
  "anycast",
  "blackhole",
  "unreachable",
  "prohibit",
  "throw",
];

/** 224.0.0.0/24 (`ipv4_is_local_multicast`). */
const LOCAL_MULTICAST = 0xe0000000;

/** fe80::/10, and groups of that scope (`ipv6_addr_type` & IPV6_ADDR_LINKLOCAL). */
function isOfLink(address: Ipv6Address): boolean {
  return isLinkLocal(address) || (isMulticast(address) && ((address.a >>> 16) & 0xf) === 2);
}

/**
 * Asks the routing tables about an address of the packet (net/ipv4/netfilter/nft_fib_ipv4.c,
 * net/ipv6/netfilter/nft_fib_ipv6.c).
 */
export class FibSource implements Source {
  readonly words: number;
  readonly #saddr: boolean;
  readonly #mark: boolean;
  readonly #iif: boolean;
  readonly #oif: boolean;
  readonly #result: FibExpression["result"];
  readonly #presence: boolean;

  constructor({ flags, result, presence }: FibExpression) {
    this.#saddr = flags.includes("saddr");
    this.#mark = flags.includes("mark");
    this.#iif = flags.includes("iif");
    this.#oif = flags.includes("oif");
    this.#result = result;
    this.#presence = presence;
    this.words = result === "oifname" && !presence ? 4 : 1;
  }

  load(walk: Walk, at: number): boolean {
    const { packet, registers } = walk;
    if (packet === undefined) return false;
    const address = this.#saddr ? packet.src : packet.dst;
    if (this.#result === "type") {
      registers[at] = this.#type(walk, address);
      return true;
    }
    const dev = this.#outputDevice(walk, address);
    if (this.#presence) registers[at] = dev === undefined ? 0 : 1;
    else if (this.#result === "oif") registers[at] = dev?.ifindex ?? 0;
    else writeWords(nameToValue(dev?.name ?? ""), 128, registers, at);
    return true;
  }

  /** The device that the question is about, where the rule says so. */
  #device({ state }: Walk): NetDevice | undefined {
    if (this.#iif) return state.in;
    return this.#oif ? state.out : undefined;
  }

  #type(walk: Walk, address: IpAddress): number {
    const dev = this.#device(walk);
    const type =
      typeof address === "number"
        ? this.#type4(walk, address, dev)
        : this.#type6(walk, address, dev);
    return ROUTE_TYPES[type] as number;
  }

  /** `inet_dev_addr_type`. */
  #type4({ netns }: Walk, address: number, dev: NetDevice | undefined): Route["type"] {
    if (address >>> 24 === 0 || address === IPV4_BROADCAST) return "broadcast";
    if (isMulticast(address)) return "multicast";
    return netns.fib4.addressType(address, dev);
  }

  #type6(walk: Walk, address: IpAddress, dev: NetDevice | undefined): Route["type"] {
    const { netns } = walk;
    const isOwn = dev?.hasAddress(address) === true;
    const route = this.#lookup(walk, address, dev)?.route;
    if (route === undefined) return "unreachable";
    if (route.type === "blackhole" || route.type === "prohibit" || route.type === "unreachable") {
      return route.type;
    }
    if (isOwn || (dev === undefined && netns.isLocalAddress(address))) return "local";
    return isMulticast(address) ? "multicast" : "unicast";
  }

  #lookup(walk: Walk, address: IpAddress, dev: NetDevice | undefined): Nexthop | undefined {
    const { skb, netns } = walk;
    // Only addresses of a link are asked about on that link alone (nft_fib6_flowi_init).
    const oif = typeof address !== "number" && isOfLink(address) ? (dev ?? skb.dev) : undefined;
    const { version, src, dst, tos, protocol } = skb.ip;
    return netns.fib(version).lookup({
      dst: address,
      src: this.#saddr ? dst : src,
      iif: undefined,
      oif,
      mark: this.#mark ? skb.mark : 0,
      tos: version === 4 ? tos & 0x1c : 0,
      // Of IPv4 no rule learns the protocol (nft_fib4_eval).
      protocol: version === 4 ? 0 : protocol,
      srcPort: 0,
      dstPort: 0,
    });
  }

  #outputDevice(walk: Walk, address: IpAddress): NetDevice | undefined {
    const { skb, state } = walk;
    const dev = this.#device(walk);
    // What is on the loopback device has no route of its own.
    if (state.in?.isLoopback === true) return state.in;
    const { src, dst, protocol } = skb.ip;
    if (typeof dst === "number") {
      if (src === 0 && (dst === IPV4_BROADCAST || dst >>> 8 === LOCAL_MULTICAST >>> 8)) {
        return skb.dev;
      }
    } else if (protocol === IPPROTO_ICMPV6 && src === IPV6_ANY && isOfLink(dst)) {
      // Who checks whether its address is free has none to look for (nft_fib_v6_skip_icmpv6).
      if (state.hook === NF_INET_PRE_ROUTING) return state.in;
    }
    const found = this.#lookup(walk, address, dev);
    if (found === undefined || NO_WAY_OUT.includes(found.route.type)) return undefined;
    if (dev === undefined) return found.dev;
    return found.route.nexthops.some((nexthop) => nexthop.dev === dev) ? dev : undefined;
  }
}
