import type { Clock } from "@cnilab/core";
import type { Mac } from "@cnilab/net";
import type { MeshRouter } from "../mesh/mesh-router.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import {
  DISCARD,
  type FlowOp,
  type ForwardPacketKey,
  MultiFlowOp,
  type PacketKey,
} from "./flow-op.ts";
import type { InjectorConsumer } from "./injector-consumer.ts";
import { MacCache } from "./mac-cache.ts";
import type { NetworkOverlay, OverlayForwarder } from "./network-overlay.ts";

/** Of the spanning tree protocol, which ends at each bridge (IEEE 802.1D). */
const STP_MAC: Mac = 0x0180c2000000;

export interface NetworkRouterOptions {
  readonly clock: Clock;
  /** A mesh whose overlay is {@link overlay}. */
  readonly mesh: MeshRouter;
  readonly overlay: NetworkOverlay;
  /** The node's bridge. */
  readonly injectorConsumer: InjectorConsumer;
}

/** Where frames of the network go: to the node's containers, or by a neighbour to another peer (router/network_router.go). */
export class NetworkRouter {
  readonly macs: MacCache;
  readonly overlay: NetworkOverlay;
  readonly injectorConsumer: InjectorConsumer;
  readonly #mesh: MeshRouter;
  readonly #ourself: PeerName;

  constructor({ clock, mesh, overlay, injectorConsumer }: NetworkRouterOptions) {
    this.macs = new MacCache(clock);
    this.overlay = overlay;
    this.injectorConsumer = injectorConsumer;
    this.#mesh = mesh;
    this.#ourself = mesh.peers.ourself.name;
    mesh.listen({
      routesChanged: () => overlay.invalidateRoutes(),
      shortIdsChanged: () => overlay.invalidateShortIds(),
      peerRemoved: ({ name }) => this.macs.delete(name),
    });
  }

  /** Takes frames of both sides. Comes before the mesh starts. @throws Error where either has somebody who does */
  start(): void {
    this.injectorConsumer.startConsumingPackets((key) => this.#captured(key));
    this.overlay.startConsumingPackets(this.#ourself, this.#mesh.peers, (key) =>
      this.#forwarded(key),
    );
  }

  /** The process ends; what the mesh does is not stopped by this. */
  stop(): void {
    this.macs.stop();
    this.injectorConsumer.stop();
    this.overlay.stop();
  }

  #captured(key: PacketKey): FlowOp {
    // Where the MAC is said to be at another peer, this is likely a frame that we have injected ourselves.
    if (this.macs.add(key.srcMac, this.#ourself) !== undefined) return DISCARD;
    if (key.dstMac === STP_MAC) return DISCARD;
    const dstPeer = this.macs.lookup(key.dstMac);
    // Our own bridge knows better than we do.
    if (dstPeer === this.#ourself) return DISCARD;
    if (dstPeer === undefined) return this.#relayBroadcast(this.#ourself, key);
    return this.#relay({ ...key, srcPeer: this.#ourself, dstPeer });
  }

  #forwarded(key: ForwardPacketKey): FlowOp {
    if (key.dstPeer !== this.#ourself) return this.#relay(key);
    // For us, or for all: a broadcast is for each peer that it is passed on to.
    const { srcMac, dstMac, srcPeer } = key;
    this.macs.addForced(srcMac, srcPeer);
    const inject = this.injectorConsumer.injectPacket({ srcMac, dstMac });
    if (this.macs.lookup(dstMac) === this.#ourself) return inject;
    return new MultiFlowOp(false, inject, this.#relayBroadcast(srcPeer, { srcMac, dstMac }));
  }

  #relay(key: ForwardPacketKey): FlowOp {
    const hop = this.#mesh.routes.unicast("established").get(key.dstPeer);
    return this.#forwarder(hop)?.forward(key) ?? DISCARD;
  }

  #relayBroadcast(srcPeer: PeerName, { srcMac, dstMac }: PacketKey): FlowOp {
    const op = new MultiFlowOp(true);
    for (const dstPeer of this.#mesh.routes.broadcast(srcPeer, "established")) {
      const forward = this.#forwarder(dstPeer)?.forward({ srcMac, dstMac, srcPeer, dstPeer });
      if (forward !== undefined) op.add(forward);
    }
    return op;
  }

  /** What leads to a neighbour; `undefined` where the connection has just gone. */
  #forwarder(neighbour: PeerName | undefined): OverlayForwarder | undefined {
    if (neighbour === undefined) return undefined;
    return this.#mesh.connections.get(neighbour)?.overlayConnection as OverlayForwarder | undefined;
  }
}
