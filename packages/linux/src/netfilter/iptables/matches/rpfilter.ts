import {
  IPV4_BROADCAST,
  IPV6_ANY,
  type Ipv6Address,
  isLinkLocal,
  isMulticast,
  NEXTHDR_FRAGMENT,
} from "@cnilab/net";
import type { NetDevice } from "../../../device/net-device.ts";
import type { Route } from "../../../fib/route.ts";
import type { Match, MatchExtension, OptionValues, RulePlace } from "../extension.ts";
import { Complaint } from "../iptables-error.ts";
import type { Walk } from "../walk.ts";

const OPTIONS = ["loose", "validmark", "accept-local", "invert"] as const;

/** Whether an answer would leave the way the packet came (`rpfilter_mt`, ipt_rpfilter.c, ip6t_rpfilter.c). */
class RpfilterMatch implements Match {
  readonly pure = true;
  readonly #loose: boolean;
  readonly #validMark: boolean;
  readonly #acceptLocal: boolean;
  readonly #inverted: boolean;
  readonly text: string;

  constructor(values: OptionValues) {
    this.#loose = values.has("loose");
    this.#validMark = values.has("validmark");
    this.#acceptLocal = values.has("accept-local");
    this.#inverted = values.has("invert");
    const given = OPTIONS.filter((option) => values.has(option));
    this.text = ["-m rpfilter", ...given.map((option) => `--${option}`)].join(" ");
  }

  matches(walk: Walk): boolean {
    const dev = walk.state.in;
    if (dev === undefined) return this.#inverted;
    return (dev.isLoopback || this.#comesBack(walk, dev)) !== this.#inverted;
  }

  #comesBack(walk: Walk, dev: NetDevice): boolean {
    const { src, dst } = walk.packet;
    return typeof src === "number"
      ? this.#comesBack4(walk, dev, src, dst as number)
      : this.#comesBack6(walk, dev, src, dst as Ipv6Address);
  }

  #comesBack4({ netns, packet, skb }: Walk, dev: NetDevice, src: number, dst: number): boolean {
    const isForMany = dst === IPV4_BROADCAST || isMulticast(dst);
    if (src >>> 24 === 0 && isForMany) return true;
    const found = netns.fib4.lookup({
      dst: src,
      src: isForMany || dst >>> 24 === 0 ? undefined : dst,
      iif: undefined,
      oif: undefined,
      mark: this.#validMark ? skb.mark : 0,
      tos: packet.tos & 0x1c,
      // No rule learns the protocol.
      protocol: 0,
      srcPort: 0,
      dstPort: 0,
    });
    if (found === undefined) return false;
    const { type, nexthops } = found.route;
    if (type !== "unicast" && !(type === "local" && this.#acceptLocal)) return false;
    return this.#loose || nexthops.some((nexthop) => nexthop.dev === dev);
  }

  /** `rpfilter_lookup_reverse6` */
  #comesBack6(
    { netns, packet, skb }: Walk,
    dev: NetDevice,
    src: Ipv6Address,
    dst: Ipv6Address,
  ): boolean {
    if (src === IPV6_ANY) return true;
    const found = netns.fib6.lookup({
      dst: src,
      src: isMulticast(dst) ? undefined : dst,
      iif: undefined,
      oif: isLinkLocal(src) ? dev : undefined,
      mark: this.#validMark ? skb.mark : 0,
      tos: 0,
      // That of the first header.
      protocol: packet.isFragment ? NEXTHDR_FRAGMENT : packet.protocol,
      srcPort: 0,
      dstPort: 0,
    });
    if (found === undefined) return false;
    const route = this.#loose ? found.route : (routeBy(dev, found.route) ?? found.route);
    if (route.type === "local") return this.#acceptLocal;
    if (route.type !== "unicast") return false;
    return this.#loose || route.nexthops.some((nexthop) => nexthop.dev === dev);
  }

  check({ table, chain }: RulePlace): void {
    if (table === "raw" || table === "mangle") return;
    throw new Complaint("kernel", `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`);
  }
}

/** Of the routes to one prefix, whatever their metrics, the first that leaves by the device (`rt6_device_match`). */
function routeBy(dev: NetDevice, first: Route): Route | undefined {
  let route: Route | undefined = first;
  while (route !== undefined && !route.nexthops.some((nexthop) => nexthop.dev === dev)) {
    route = route.next;
  }
  return route;
}

export const rpfilter: MatchExtension = {
  names: ["rpfilter"],
  options: OPTIONS.map((name) => ({ name, args: 0 })),
  parse: (values) => new RpfilterMatch(values),
};
