import type { GossipPayload } from "../mesh/gossiper.ts";
import { type PeerDescription, peerText } from "../mesh/peer.ts";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Peers } from "../mesh/peers.ts";
import { DISCARD, type FlowOp, type ForwardPacketKey } from "./flow-op.ts";
import type {
  NetworkConnectionParams,
  NetworkOverlay,
  OverlayConsumer,
  OverlayForwarder,
} from "./network-overlay.ts";

/** Names of the overlays that a peer has, the best first. */
const OVERLAYS = "Overlays";
/** `ProtocolOverlayControlMsg` */
const OVERLAY_CONTROL = 7;
/** Of each message: for which overlay it is, and its own tag. */
const CONTROL_HEADER = 2;

/** Several overlays: of those that both ends have the best that works carries a connection's frames (router/overlay_switch.go). */
export class OverlaySwitch implements NetworkOverlay {
  /** In the order in which they are preferred. */
  readonly #overlays = new Map<string, NetworkOverlay>();
  #compatible: NetworkOverlay | undefined;

  /** @throws Error where there is one of that name */
  add(name: string, overlay: NetworkOverlay): void {
    if (this.#overlays.has(name)) throw new Error(`OverlaySwitch: repeated overlay name ${name}`);
    this.#overlays.set(name, overlay);
  }

  /** What peers are spoken to with that say nothing of overlays. */
  setCompatOverlay(overlay: NetworkOverlay): void {
    this.#compatible = overlay;
  }

  addFeaturesTo(features: Map<string, string>): void {
    features.set(OVERLAYS, [...this.#overlays.keys()].join(" "));
  }

  prepareConnection(params: NetworkConnectionParams): OverlayForwarder {
    const theirs = params.features.get(OVERLAYS);
    if (theirs === undefined && this.#compatible !== undefined) {
      return this.#compatible.prepareConnection(params);
    }
    return new SwitchForwarder(this.#common(theirs?.split(" ") ?? []), params);
  }

  startConsumingPackets(localPeer: PeerName, peers: Peers, consumer: OverlayConsumer): void {
    for (const overlay of this.#overlays.values()) {
      overlay.startConsumingPackets(localPeer, peers, consumer);
    }
  }

  invalidateRoutes(): void {
    for (const overlay of this.#overlays.values()) overlay.invalidateRoutes();
  }

  invalidateShortIds(): void {
    for (const overlay of this.#overlays.values()) overlay.invalidateShortIds();
  }

  diagnostics(): unknown {
    const named = [...this.#overlays].map(([name, overlay]) => [name, overlay.diagnostics()]);
    return Object.fromEntries(named);
  }

  stop(): void {
    for (const overlay of this.#overlays.values()) overlay.stop();
  }

  /** In our order at both ends, so that a place in it stands for the same overlay where both prefer the same. */
  #common(theirs: readonly string[]): [name: string, overlay: NetworkOverlay][] {
    const common = [...this.#overlays].filter(([name]) => theirs.includes(name));
    if (common.length === 0) throw new Error("no overlays in common with peer");
    return common;
  }
}

/** What an overlay says, with the overlay's place in front. */
class SwitchMessage implements GossipPayload {
  readonly place: number;
  readonly tag: number;
  readonly message: GossipPayload;

  constructor(place: number, tag: number, message: GossipPayload) {
    this.place = place;
    this.tag = tag;
    this.message = message;
  }

  get wireLength(): number {
    return CONTROL_HEADER + this.message.wireLength;
  }
}

/** One overlay's part of a connection. */
interface SubForwarder {
  readonly name: string;
  /** `undefined` where it has failed. */
  forwarder: OverlayForwarder | undefined;
  established: boolean;
  /** It misses heartbeats: what is there beside it carries the frames. */
  onHold: boolean;
}

/** A connection by all overlays at once, of which one carries frames. */
class SwitchForwarder implements OverlayForwarder {
  readonly #remote: PeerDescription;
  readonly #params: NetworkConnectionParams;
  readonly #subs: readonly SubForwarder[];
  /** The place of the one that carries frames. */
  #best = -1;
  #established = false;

  constructor(
    overlays: readonly [name: string, overlay: NetworkOverlay][],
    params: NetworkConnectionParams,
  ) {
    this.#remote = params.remote;
    this.#params = params;
    this.#subs = overlays.map(([name]) => ({
      name,
      forwarder: undefined,
      established: false,
      onHold: false,
    }));
    overlays.forEach(([, overlay], place) => {
      const sub = this.#subs[place] as SubForwarder;
      try {
        sub.forwarder = overlay.prepareConnection(this.#paramsFor(sub, place));
      } catch (error) {
        // That overlay is of no use here; a mistake of ours is not that.
        if (!(error instanceof Error) || error instanceof TypeError) throw error;
      }
    });
    if (!this.#chooseBest()) throw this.#noneWorks();
  }

  /** As `weave status connections` names it: that of the one in use. */
  get name(): string {
    return this.#inUse?.name ?? "none";
  }

  get mtu(): number | undefined {
    return this.#inUse?.mtu;
  }

  confirm(): void {
    for (const { forwarder } of [...this.#subs]) forwarder?.confirm();
  }

  controlMessage(tag: number, message: GossipPayload): void {
    if (tag !== OVERLAY_CONTROL || !(message instanceof SwitchMessage)) return;
    this.#subs[message.place]?.forwarder?.controlMessage(message.tag, message.message);
  }

  forward(key: ForwardPacketKey): FlowOp {
    for (let i = Math.max(this.#best, 0); i < this.#subs.length; i++) {
      const op = this.#subs[i]?.forwarder?.forward(key);
      if (op !== undefined) return op;
    }
    return DISCARD;
  }

  stop(): void {
    for (const sub of this.#subs) this.#stopOne(sub);
  }

  get #inUse(): OverlayForwarder | undefined {
    return this.#subs[this.#best]?.forwarder;
  }

  #paramsFor(sub: SubForwarder, place: number): NetworkConnectionParams {
    return {
      ...this.#params,
      sendControlMessage: (tag, message) =>
        this.#params.sendControlMessage(OVERLAY_CONTROL, new SwitchMessage(place, tag, message)),
      established: () => {
        sub.established = true;
        this.#chooseBest();
        if (this.#established) return;
        this.#established = true;
        this.#params.established();
      },
      failed: () => {
        this.#stopOne(sub);
        if (!this.#chooseBest()) this.#params.failed(this.#noneWorks());
      },
      healthChanged: (healthy) => {
        if (sub.onHold !== healthy) return;
        sub.onHold = !healthy;
        if (!this.#chooseBest()) this.#params.failed(this.#noneWorks());
      },
    };
  }

  #stopOne(sub: SubForwarder): void {
    const { forwarder } = sub;
    sub.forwarder = undefined;
    forwarder?.stop();
  }

  /** The most preferred of those that are established, or else of those that may be. False where there is none. */
  #chooseBest(): boolean {
    const works = ({ forwarder, onHold }: SubForwarder) => forwarder !== undefined && !onHold;
    const established = this.#subs.findIndex((sub) => works(sub) && sub.established);
    const best = established >= 0 ? established : this.#subs.findIndex(works);
    if (best < 0) return false;
    this.#best = best;
    return true;
  }

  #noneWorks(): Error {
    return new Error(`no working forwarders to ${peerText(this.#remote)}`);
  }
}
