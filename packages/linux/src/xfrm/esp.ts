import { decrypted, EspPacket, IPPROTO_ESP } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import type { Dst } from "../fib/dst.ts";
import type { NetNamespace } from "../net-namespace.ts";
import {
  NF_INET_LOCAL_OUT,
  NF_INET_PRE_ROUTING,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
  nfHook,
  type OkFn,
} from "../netfilter/hooks.ts";
import type { Skb } from "../skb.ts";
import type { XfrmAead, XfrmState } from "./xfrm-state.ts";

const BITS = 8;

/** Looks for what a packet's route leads through, when it is routed and after a rule has changed its mark (`xfrm_lookup`). */
export function xfrmRoute(skb: Skb, netns: NetNamespace): void {
  const xfrm = netns.findXfrm();
  if (xfrm !== undefined && !skb.isTransformed) skb.xfrm = xfrm.route(skb);
}

/** Whether the packet must not leave, and why. */
export function xfrmRefuses(skb: Skb, netns: NetNamespace): boolean {
  if (typeof skb.xfrm !== "string") return false;
  skb.sendErrno = skb.xfrm === "XFRM_POLICY" ? "EPERM" : "EREMOTE";
  netns.network.drop(skb, netns, skb.xfrm, skb.dst?.dev);
  return true;
}

/**
 * Encrypts a packet on its way out, behind POSTROUTING, and sends what comes of it through OUTPUT again (`xfrm_output_resume`).
 * @param output where it goes from there
 */
export function espOutput(skb: Skb, netns: NetNamespace, output: OkFn): void {
  const state = skb.xfrm as XfrmState;
  const aead = state.spec.aead as XfrmAead;
  const plain = skb.ip;
  netns.network.recording?.unrepeatable(); // each packet has a number of its own
  state.count(plain.length);
  const outer = plain.withPayload(
    new EspPacket(
      { spi: state.spec.spi, sequence: ++state.sent },
      {
        key: aead.key,
        icvLength: aead.icvBits / BITS,
        protocol: plain.protocol,
        carried: plain.payload,
      },
    ),
  );
  outer.protocol = IPPROTO_ESP;
  const dev = (skb.dst as Dst).dev;
  skb.trace?.steps.push({
    kind: "encapsulate",
    netns,
    packet: skb.number,
    dev,
    outer: outer.withPayload(outer.payload),
    protocol: protocolText(state.spec.spi),
  });
  skb.packet = outer;
  skb.xfrm = undefined;
  skb.isTransformed = true;
  skb.gso = false;
  forgetPlain(skb);
  const family = outer.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  nfHook(netns, family, NF_INET_LOCAL_OUT, skb, undefined, dev, output);
}

/**
 * A packet for this machine, which INPUT has seen: what was in it comes in once more, with the mark that it has got
 * (`xfrm_input`, `xfrm4_transport_finish`). False where nobody here speaks ESP.
 * @param receive where it goes behind PREROUTING
 */
export function espReceive(skb: Skb, netns: NetNamespace, receive: OkFn): boolean {
  const xfrm = netns.findXfrm();
  const outer = skb.ip;
  const { payload } = outer;
  if (xfrm === undefined || !(payload instanceof EspPacket)) return false;
  const dev = skb.dev as NetDevice;
  const state = xfrm.stateFor(outer.dst, payload.spi, skb.mark);
  if (state === undefined) {
    const detail = `SPI 0x${payload.spi.toString(16)}`;
    netns.network.drop(skb, netns, "XFRM_NO_STATE", dev, detail);
    return true;
  }
  if (state.spec.aead?.key !== payload.key) {
    netns.network.drop(skb, netns, "XFRM_BAD_PACKET", dev, "encrypted with another key");
    return true;
  }
  netns.network.recording?.unrepeatable();
  state.received = Math.max(state.received, payload.sequence);
  state.count(payload.carried.length);
  skb.trace?.steps.push({
    kind: "decapsulate",
    netns,
    packet: skb.number,
    dev,
    outer: outer.withPayload(payload),
    protocol: protocolText(payload.spi),
  });
  const plain = decrypted(outer, payload);
  skb.packet = plain;
  skb.wasEncrypted = true;
  forgetPlain(skb);
  const family = plain.version === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  nfHook(netns, family, NF_INET_PRE_ROUTING, skb, dev, undefined, receive);
  return true;
}

/** What was known of the packet as it was (`nf_reset_ct`). */
function forgetPlain(skb: Skb): void {
  skb.ct = undefined;
  skb.ctInfo = 0;
  skb.flowHash = undefined;
  skb.checksumValid = false;
  skb.forgetFragments();
}

function protocolText(spi: number): string {
  return `ESP with SPI 0x${spi.toString(16)}`;
}
