import type { Clock } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { FastDatapath } from "../fastdp/fast-datapath.ts";
import type { Ipsec } from "../fastdp/ipsec.ts";
import { type BridgeKind, DATAPATH, PCAP_PORT } from "../net/weave-bridge.ts";
import type { InjectorConsumer } from "../router/injector-consumer.ts";
import { OverlaySwitch } from "../router/overlay-switch.ts";
import { Pcap } from "../router/pcap.ts";
import { SleeveOverlay } from "../sleeve/sleeve-overlay.ts";

export interface NodeOverlays {
  readonly overlay: OverlaySwitch;
  /** How weaver is on the node's bridge. */
  readonly injectorConsumer: InjectorConsumer;
}

/**
 * The ways to other peers that a node has, the best first: sleeve works anywhere (prog/weaver/main.go createOverlay).
 * @param ipsec encrypts what the datapath carries, where there is a password
 */
export function createOverlays(
  netns: NetNamespace,
  clock: Clock,
  kind: BridgeKind,
  ipsec: Ipsec | undefined,
): NodeOverlays {
  const overlay = new OverlaySwitch();
  const device = netns.device(kind === "bridge" ? PCAP_PORT : DATAPATH);
  let injectorConsumer: InjectorConsumer;
  if (kind === "bridge") injectorConsumer = new Pcap(device);
  else {
    const options = { netns, clock, datapath: DATAPATH };
    const fastdp = new FastDatapath(ipsec === undefined ? options : { ...options, ipsec });
    overlay.add("fastdp", fastdp.overlay);
    injectorConsumer = fastdp.injectorConsumer;
  }
  const sleeve = new SleeveOverlay({ netns, clock, device });
  overlay.add("sleeve", sleeve);
  overlay.setCompatOverlay(sleeve);
  return { overlay, injectorConsumer };
}
