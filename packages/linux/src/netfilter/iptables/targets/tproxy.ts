import {
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_ANY,
  type IpAddress,
  isUnspecified,
} from "@cnilab/net";
import { NF_ACCEPT, NF_DROP } from "../../hooks.ts";
import type { RulePlace, Target, TargetExtension, TargetVerdict } from "../extension.ts";
import { parseHost } from "../header-match.ts";
import { hex, type Masked, parseMasked, parseUint } from "../numbers.ts";
import { invalidRule } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";

/**
 * Hands a packet to a local proxy without changing it (net/netfilter/xt_TPROXY.c): marks it so that
 * policy routing keeps it here, and drops it where no proxy listens. Sockets are found again by the
 * packet's own addresses when it is delivered, so only a proxy that listens on those gets it.
 */
class TproxyTarget implements Target {
  readonly #port: number;
  readonly #address: IpAddress;
  readonly #mark: Masked;

  constructor(port: number, address: IpAddress, mark: Masked) {
    this.#port = port;
    this.#address = address;
    this.#mark = mark;
  }

  run(walk: Walk): TargetVerdict {
    const { skb, netns, packet } = walk;
    netns.network.recording?.unrepeatable();
    const port = this.#port === 0 ? walk.dstPort : this.#port;
    const address = isUnspecified(this.#address) ? undefined : this.#address;
    const proxy = netns.sockets
      .listening(packet.protocol, port)
      .find((s) => s.localAddress === undefined || s.localAddress === (address ?? s.localAddress));
    if (proxy === undefined) return NF_DROP;
    skb.mark = ((skb.mark & ~this.#mark.mask) ^ this.#mark.value) >>> 0;
    skb.socket = proxy;
    return NF_ACCEPT;
  }

  effect({ skb }: Walk): string {
    return skb.socket === undefined
      ? "no proxy listens"
      : `to the proxy ${skb.socket.owner}, mark ${hex(skb.mark)}`;
  }

  check(place: RulePlace): void {
    const tcpOrUdp = place.protocol === IPPROTO_TCP || place.protocol === IPPROTO_UDP;
    if (place.table !== "mangle" || !tcpOrUdp) throw invalidRule(place);
  }

  get text(): string {
    const { value, mask } = this.#mark;
    return `-j TPROXY --on-port ${this.#port} --on-ip ${formatIp(this.#address)} --tproxy-mark ${hex(value)}/${hex(mask)}`;
  }
}

export const tproxy: TargetExtension = {
  name: "TPROXY",
  options: [
    { name: "on-port", args: 1 },
    { name: "on-ip", args: 1 },
    { name: "tproxy-mark", args: 1 },
  ],
  parse(values, { family }) {
    values.required("on-port");
    return new TproxyTarget(
      values.parsed("on-port", (word) => parseUint(word, 0xffff)) as number,
      values.parsed("on-ip", (word) => parseHost(word, family)) ?? (family === 4 ? 0 : IPV6_ANY),
      values.parsed("tproxy-mark", parseMasked) ?? { value: 0, mask: 0 },
    );
  },
};
