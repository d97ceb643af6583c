import {
  formatIp,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IPV6_ANY,
  type IpAddress,
  isUnspecified,
} from "@cnilab/net";
import type { Socket } from "../../../socket/socket.ts";
import { establishedSocket, listeningSocket } from "../../../socket/socket-lookup.ts";
import { NF_ACCEPT, NF_DROP } from "../../hooks.ts";
import type { RulePlace, Target, TargetExtension, TargetVerdict } from "../extension.ts";
import { parseHost } from "../header-match.ts";
import { hex, type Masked, parseMasked, parseUint } from "../numbers.ts";
import { invalidRule } from "../rule-refusal.ts";
import type { Walk } from "../walk.ts";

/**
 * Hands a packet to a local proxy without changing it (net/netfilter/xt_TPROXY.c): gives it the proxy's socket, marks it so
 * that policy routing keeps it here, and drops it where no proxy listens that may have it (`IP_TRANSPARENT`).
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
    const { skb, netns } = walk;
    netns.network.recording?.unrepeatable();
    const proxy = this.#socketFor(walk);
    // One that is not transparent counts as none, also where the packet is its own (nf_tproxy_sk_is_transparent).
    if (proxy?.transparent !== true) return NF_DROP;
    skb.mark = ((skb.mark & ~this.#mark.mask) ^ this.#mark.value) >>> 0;
    skb.socket = proxy;
    return NF_ACCEPT;
  }

  /** A connection that is there comes before who listens; UDP's listener is looked for on the proxy's port, too. */
  #socketFor(walk: Walk): Socket | undefined {
    const { netns, packet, srcPort, dstPort } = walk;
    if (dstPort < 0) return undefined;
    const { protocol, src, dst } = packet;
    return (
      establishedSocket(netns, { protocol, src, srcPort, dst, dstPort }) ??
      listeningSocket(netns, {
        protocol,
        src,
        srcPort,
        dst: this.#listenAddress(walk),
        dstPort: this.#port === 0 ? dstPort : this.#port,
      })
    );
  }

  /** Without `--on-ip` the first address of the device that it came in by (nf_tproxy_laddr4, nf_tproxy_laddr6). */
  #listenAddress({ state, packet }: Walk): IpAddress {
    if (!isUnspecified(this.#address)) return this.#address;
    const addresses = packet.version === 4 ? state.in?.addresses4 : state.in?.addresses6SoFar;
    return addresses?.[0]?.address ?? packet.dst;
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
