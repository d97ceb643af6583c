import { IPV4_BROADCAST, type IpAddress, isLoopback, isMulticast } from "@cnilab/net";
import type { NetDevice } from "../../../device/net-device.ts";
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
    const { src, dst } = walk.packet;
    if (dev === undefined) return this.#inverted;
    const exempt =
      dev.isLoopback ||
      (typeof src === "number" &&
        src >>> 24 === 0 &&
        (dst === IPV4_BROADCAST || isMulticast(dst))) ||
      (typeof src !== "number" && isMulticast(src));
    return (exempt || this.#comesBack(walk, dev, src, dst)) !== this.#inverted;
  }

  #comesBack(walk: Walk, dev: NetDevice, src: IpAddress, dst: IpAddress): boolean {
    const { netns, packet } = walk;
    const usable = !isMulticast(dst) && dst !== IPV4_BROADCAST && !isLoopback(dst);
    const nexthop = netns.fib(packet.version).lookup({
      dst: src,
      src: usable ? dst : undefined,
      iif: undefined,
      oif: packet.version === 6 && !this.#loose ? dev : undefined,
      mark: this.#validMark ? walk.skb.mark : 0,
      tos: packet.version === 4 ? packet.tos & 0x1c : 0,
      // Of IPv4 no rule learns the protocol: `rpfilter_mt` leaves it out, and IPv6's tells the first header's.
      protocol: packet.version === 4 ? 0 : packet.protocol,
      srcPort: 0,
      dstPort: 0,
    });
    if (nexthop === undefined) return false;
    const { type } = nexthop.route;
    if (type !== "unicast" && !(type === "local" && this.#acceptLocal)) return false;
    return this.#loose || nexthop.route.nexthops.some((hop) => hop.dev === dev);
  }

  check({ table, chain }: RulePlace): void {
    if (table === "raw" || table === "mangle") return;
    throw new Complaint("kernel", `RULE_APPEND failed (Invalid argument): rule in chain ${chain}`);
  }
}

export const rpfilter: MatchExtension = {
  names: ["rpfilter"],
  options: OPTIONS.map((name) => ({ name, args: 0 })),
  parse: (values) => new RpfilterMatch(values),
};
