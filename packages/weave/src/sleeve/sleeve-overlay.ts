import type { Clock } from "@cnilab/core";
import {
  type NetDevice,
  type NetNamespace,
  type ReceivedDatagram,
  Skb,
  type SocketError,
  type Trace,
  UdpSocket,
} from "@cnilab/linux";
import { IPV4_ANY, type SleeveFrame, SleevePacket } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";
import type { Peers } from "../mesh/peers.ts";
import { MESH_PORT } from "../mesh/protocol.ts";
import type { ForwardPacketKey } from "../router/flow-op.ts";
import type {
  NetworkConnectionParams,
  NetworkOverlay,
  OverlayConsumer,
} from "../router/network-overlay.ts";
import { peerNamed } from "./peer-number.ts";
import {
  type SleeveEndpoint,
  SleeveForwarder,
  type SleeveHost,
  WEAVER,
} from "./sleeve-forwarder.ts";
import { readSpecialFrame } from "./special-frame.ts";

export interface SleeveOptions {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  /** The device through which weaver is on the bridge: `vethwe-pcap`, or the datapath. */
  readonly device: NetDevice;
  /** UDP; 6783 where it is absent. */
  readonly port?: number;
}

interface Consuming {
  readonly localPeer: PeerName;
  readonly peers: Peers;
  readonly consumer: OverlayConsumer;
  /** What may be cut on the way leaves by it, and all comes by it. */
  readonly socket: UdpSocket;
}

/** Frames in UDP that a program captures and sends: what works wherever UDP does (router/sleeve.go). */
export class SleeveOverlay implements NetworkOverlay, SleeveHost {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  readonly device: NetDevice;
  readonly port: number;
  #consuming: Consuming | undefined;
  readonly #forwarders = new Map<PeerName, SleeveForwarder>();

  constructor({ netns, clock, device, port = MESH_PORT }: SleeveOptions) {
    this.netns = netns;
    this.clock = clock;
    this.device = device;
    this.port = port;
  }

  get localPeer(): PeerName {
    return this.#started.localPeer;
  }

  addFeaturesTo(): void {} // who knows nothing of overlays speaks sleeve

  /** @throws Error before packets are consumed */
  prepareConnection(params: NetworkConnectionParams): SleeveForwarder {
    return new SleeveForwarder(this, params);
  }

  /** @throws KernelError where somebody has the port */
  startConsumingPackets(localPeer: PeerName, peers: Peers, consumer: OverlayConsumer): void {
    if (this.#consuming !== undefined) throw new Error("StartConsumingPackets already called");
    const socket = new UdpSocket(this.netns, {
      localAddress: IPV4_ANY,
      localPort: this.port,
      owner: WEAVER,
      tunnel: true,
      onReceive: (datagram) => this.#receive(datagram),
    });
    this.#consuming = { localPeer, peers, consumer, socket };
  }

  // Nothing is kept that was made of routes or short ids.
  invalidateRoutes(): void {}
  invalidateShortIds(): void {}

  diagnostics(): undefined {
    return undefined;
  }

  stop(): void {
    for (const forwarder of [...this.#forwarders.values()]) forwarder.stop();
    this.#consuming?.socket.close();
    this.#consuming = undefined;
  }

  // --- as the connections' host

  send(
    { address, port }: SleeveEndpoint,
    packet: SleevePacket,
    trace: Trace | undefined,
    carried: number | undefined,
  ): SocketError | undefined {
    const options = { trace, carried, dontFragment: false };
    return this.#consuming?.socket.sendTo(address, port, packet, options);
  }

  consume(key: ForwardPacketKey, frame: Skb): void {
    this.#started.consumer(key).process(frame, false);
  }

  confirmed(forwarder: SleeveForwarder): void {
    this.#forwarders.set(forwarder.remote, forwarder);
  }

  stopped(forwarder: SleeveForwarder): void {
    if (this.#forwarders.get(forwarder.remote) === forwarder) {
      this.#forwarders.delete(forwarder.remote);
    }
  }

  get #started(): Consuming {
    if (this.#consuming === undefined) throw new Error("sleeve consumes no packets yet");
    return this.#consuming;
  }

  // --- what comes

  /** `readUDP`. What makes no sense is let go: it may be of a connection that is no more. */
  #receive({ payload, src, srcPort, skb }: ReceivedDatagram): void {
    if (!(payload instanceof SleevePacket)) {
      this.#drop(skb, "what came is no packet of sleeve");
      return;
    }
    const forwarder = this.#forwarders.get(peerNamed(payload.sender));
    if (forwarder === undefined) {
      this.#drop(skb, `no connection with ${peerNamed(payload.sender)}`);
      return;
    }
    if (!forwarder.crypto.opens(payload)) {
      this.#drop(skb, "UDP packet decryption failed");
      return;
    }
    const from: SleeveEndpoint = { address: src, port: srcPort };
    for (const carried of payload.frames) this.#handleFrame(carried, forwarder, from, skb);
  }

  #handleFrame(
    { src, dst, frame, number }: SleeveFrame,
    forwarder: SleeveForwarder,
    from: SleeveEndpoint,
    outer: Skb,
  ): void {
    const { localPeer, peers } = this.#started;
    const srcPeer = peerNamed(src);
    const dstPeer = peerNamed(dst);
    if (peers.get(srcPeer) === undefined || peers.get(dstPeer) === undefined) return;
    const special = readSpecialFrame(frame);
    if (special !== undefined) {
      const isForUs = srcPeer === forwarder.remote && dstPeer === localPeer;
      if (isForUs) forwarder.special(special, from);
      return;
    }
    const inner = new Skb(frame.etherType, frame.payload, undefined);
    inner.srcMac = frame.src;
    inner.dstMac = frame.dst;
    if (number !== undefined) {
      inner.trace = outer.trace;
      inner.number = number;
      outer.trace?.steps.push({
        kind: "decapsulate",
        netns: this.netns,
        packet: number,
        dev: this.device,
        outer: outer.ip.withPayload(outer.ip.payload),
        protocol: forwarder.crypto.protocol,
      });
    }
    this.consume({ srcMac: frame.src, dstMac: frame.dst, srcPeer, dstPeer }, inner);
  }

  #drop(skb: Skb, detail: string): void {
    this.netns.network.drop(skb, this.netns, "WEAVE_NO_CONNECTION", skb.dev, detail);
  }
}
