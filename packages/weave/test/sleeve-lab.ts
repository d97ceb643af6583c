import { type NetNamespace, Skb, type Trace } from "@cnilab/linux";
import { Data, ETH_P_IP, IPPROTO_UDP, IpPacket, parseIp, UdpDatagram } from "@cnilab/net";
import {
  DISCARD,
  type ForwardPacketKey,
  type MeshOptions,
  type MeshRouter,
  type OverlayForwarder,
  SleeveOverlay,
} from "../src/index.ts";
import { peerNumber } from "./golden/rings.ts";
import { MeshLab } from "./mesh-lab.ts";

/** A frame that has arrived, and the peer that it says to come from. */
export interface Arrived {
  readonly key: ForwardPacketKey;
  readonly frame: Skb;
}

/** Peers with sleeve alone, and in place of containers the test itself. */
export class SleeveLab {
  readonly mesh: MeshLab;
  readonly arrived: Map<number, Arrived[]> = new Map();
  readonly overlays: SleeveOverlay[] = [];

  constructor(seed = 1) {
    this.mesh = new MeshLab(seed);
  }

  get clock(): MeshLab["clock"] {
    return this.mesh.clock;
  }

  machine(host: number): NetNamespace {
    return this.mesh.machine(host);
  }

  start(host: number, to: readonly number[], more: Partial<MeshOptions> = {}): MeshRouter {
    const netns = this.machine(host);
    const overlay = new SleeveOverlay({ netns, clock: this.clock, device: netns.device("eth0") });
    const router = this.mesh.make(host, { overlay, ...more });
    this.overlays.push(overlay);
    const name = peerNumber(host);
    const arrived: Arrived[] = [];
    this.arrived.set(host, arrived);
    overlay.startConsumingPackets(name, router.peers, (key) => {
      if (key.dstPeer !== name) return this.relay(host, key) ?? DISCARD;
      return { discards: false, process: (frame) => arrived.push({ key, frame: frame.clone() }) };
    });
    router.start(to.map(MeshLab.address));
    return router;
  }

  connection(host: number, to: number): OverlayForwarder | undefined {
    const connection = this.mesh.routers.get(host)?.connections.get(peerNumber(to));
    return connection?.overlayConnection as OverlayForwarder | undefined;
  }

  relay(host: number, key: ForwardPacketKey): ReturnType<OverlayForwarder["forward"]> {
    const next = this.mesh.routers.get(host)?.routes.unicast("established").get(key.dstPeer);
    return next === undefined
      ? undefined
      : this.connection(host, Number.parseInt(next.slice(-2), 16))?.forward(key);
  }

  /** A container at `from` sends a UDP packet of so many bytes to one at `to`. */
  send(from: number, to: number, length: number, how: Sending = {}): void {
    const frame = datagramFrame(from, to, length, how);
    const { srcMac, dstMac } = frame;
    const key = { srcMac, dstMac, srcPeer: peerNumber(from), dstPeer: peerNumber(to) };
    this.relay(from, key)?.process(frame, how.broadcast ?? false);
    if (how.wait !== true) this.mesh.network.run();
  }

  /** What has arrived since the last call: bytes of each packet. */
  lengths(host: number): number[] {
    return (this.arrived.get(host)?.splice(0) ?? []).map(({ frame }) => frame.length);
  }
}

interface Sending {
  readonly dontFragment?: boolean;
  readonly broadcast?: boolean;
  readonly trace?: Trace;
  /** More is sent at the same moment. */
  readonly wait?: boolean;
}

function datagramFrame(from: number, to: number, length: number, how: Sending): Skb {
  const [src, dst] = [from, to].map((n) => parseIp(`10.32.0.${n}`));
  const datagram = new UdpDatagram(1000, 2000, new Data(length - 28));
  const packet = new IpPacket(src as number, dst as number, IPPROTO_UDP, datagram);
  packet.dontFragment = how.dontFragment ?? false;
  const frame = new Skb(ETH_P_IP, packet, how.trace);
  frame.srcMac = 0x0200_0000_0000 + from;
  frame.dstMac = 0x0200_0000_0000 + to;
  return frame;
}
