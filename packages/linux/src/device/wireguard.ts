import {
  ETH_P_IP,
  ETH_P_IPV6,
  formatEndpoint,
  formatIp,
  ICMP_DEST_UNREACH,
  ICMP_HOST_UNREACH,
  ICMPV6_ADDR_UNREACH,
  ICMPV6_DEST_UNREACH,
  type IpAddress,
  type IpPacket,
  LpmTable,
  type Prefix,
  WIREGUARD_INITIATION,
  WIREGUARD_RESPONSE,
  WireguardData,
  WireguardHandshake,
} from "@cnilab/net";
import { icmpNdoSend } from "../ip/icmp-error.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type ReceivedDatagram, UdpSocket } from "../socket/udp.ts";
import type { Trace } from "../trace.ts";
import { type DeviceOptions, NetDevice } from "./net-device.ts";

/** Another end of the tunnel, as `wg set … peer` makes it. */
export interface WireguardPeer {
  readonly publicKey: string;
  readonly presharedKey?: string;
  readonly endpoint: { readonly address: IpAddress; readonly port: number } | undefined;
  readonly allowedIps: readonly Prefix[];
  /** Seconds; 0 when off. */
  readonly persistentKeepalive: number;
}

type Endpoint = NonNullable<WireguardPeer["endpoint"]>;

// drivers/net/wireguard/messages.h, in milliseconds
const REKEY_TIMEOUT = 5000;
const REJECT_AFTER_TIME = 180_000;
/** KEEPALIVE_TIMEOUT + REKEY_TIMEOUT: who hears nothing for so long after sending makes a new handshake. */
const NEW_HANDSHAKE_TIME = 15_000;
const MAX_TIMER_HANDSHAKES = 18;
const MAX_STAGED_PACKETS = 128;

/** Keys that two ends have agreed on (`struct noise_keypair`). */
interface Session {
  readonly since: number;
  /** When data was sent that nothing has come back for. */
  unanswered: number | undefined;
}

interface Handshake {
  /** Packets that wait for it. */
  readonly staged: Skb[];
  retries: number;
  sentAt: number;
}

/** Peers that many machines have in common: all nodes of a cluster. Built once, attached to any number. Immutable. */
export class WireguardPeerLayer {
  readonly peers: ReadonlyMap<string, WireguardPeer>;
  /** Whom an address belongs to: of two peers with one prefix, to the later. */
  readonly allowed: LpmTable<WireguardPeer> = new LpmTable();

  constructor(peers: Iterable<WireguardPeer>) {
    const byKey = new Map<string, WireguardPeer>();
    for (const peer of peers) {
      byKey.set(peer.publicKey, peer);
      for (const prefix of peer.allowedIps) this.allowed.set(prefix, peer);
    }
    this.peers = byKey;
  }
}

/**
 * An encrypted tunnel (kernel drivers/net/wireguard). What is modelled is who may send what to whom:
 * keys, allowed IPs, endpoints and roaming, handshakes and how long they last, the size of packets. Nothing is
 * encrypted, keys are names.
 */
export class Wireguard extends NetDevice {
  readonly kind = "wireguard";
  readonly publicKey: string;
  readonly listenPort: number;
  /** Mark of its own packets; 0 is none. */
  readonly fwmark: number;
  /** Peers of this device alone; `undefined` while those of the layer are all it has. */
  #own: Map<string, WireguardPeer> | undefined = new Map();
  #layer: WireguardPeerLayer | undefined;
  /** Made of {@link #own} when a packet needs it. */
  #ownAllowed: LpmTable<WireguardPeer> | undefined;
  /** Where peers were last heard of, when that is not what they were set to. */
  readonly #roamed = new Map<string, Endpoint>();
  /** What may be sent and received with, by the peer's key (`current_keypair`). */
  readonly #sessions = new Map<string, Session>();
  /** What a peer has asked for and not used yet: it only receives (`next_keypair`). */
  readonly #offered = new Map<string, Session>();
  readonly #handshakes = new Map<string, Handshake>();
  #socket: UdpSocket | undefined;
  readonly underlay: NetNamespace;

  constructor(
    netns: NetNamespace,
    options: DeviceOptions & {
      readonly publicKey: string;
      readonly listenPort?: number;
      readonly fwmark?: number;
    },
  ) {
    super(netns, options, 1420);
    this.publicKey = options.publicKey;
    this.listenPort = options.listenPort ?? 51820;
    this.fwmark = options.fwmark ?? 0;
    this.underlay = netns;
  }

  override get needsHeadroom(): boolean {
    return true;
  }

  override get isEthernet(): boolean {
    return false;
  }

  override get noArp(): boolean {
    return true;
  }

  protected override ownFlags(): string[] {
    return ["POINTOPOINT", "NOARP"];
  }

  /** All peers, with the endpoints that they have now. */
  get peers(): Iterable<WireguardPeer> {
    const peers: WireguardPeer[] = [];
    for (const peer of this.#peers.values()) {
      if (peer.publicKey === this.publicKey) continue;
      const endpoint = this.#roamed.get(peer.publicKey);
      peers.push(endpoint === undefined ? peer : { ...peer, endpoint });
    }
    return peers;
  }

  get #peers(): ReadonlyMap<string, WireguardPeer> {
    return this.#own ?? (this.#layer as WireguardPeerLayer).peers;
  }

  /** `wg set DEV peer KEY …`; a device is no peer of itself (`set_peer`). */
  setPeer(peer: WireguardPeer): void {
    if (peer.publicKey === this.publicKey) return;
    const own = this.#ownPeers();
    own.delete(peer.publicKey);
    own.set(peer.publicKey, peer);
    this.#roamed.delete(peer.publicKey);
    this.#ownAllowed = undefined;
    this.network.touch();
  }

  /** `wg set DEV peer KEY remove`. @throws KernelError ENOENT */
  removePeer(publicKey: string): void {
    if (!this.#peers.has(publicKey)) throw new KernelError("ENOENT", `peer ${publicKey}`);
    this.#ownPeers().delete(publicKey);
    this.#roamed.delete(publicKey);
    this.#forget(publicKey);
    this.#ownAllowed = undefined;
    this.network.touch();
  }

  get peerLayer(): WireguardPeerLayer | undefined {
    return this.#layer;
  }

  /** Makes the layer's peers those of this device, instead of all that it has. */
  setPeerLayer(layer: WireguardPeerLayer): void {
    const old = this.#peers;
    for (const key of [...this.#roamed.keys()]) {
      // A peer that is not set anew stays where it was heard of.
      if (old.get(key) !== layer.peers.get(key)) this.#roamed.delete(key);
    }
    for (const key of old.keys()) if (!layer.peers.has(key)) this.#forget(key);
    this.#own = undefined;
    this.#ownAllowed = undefined;
    this.#layer = layer;
    this.network.touch();
  }

  /** Peers to change one by one: a copy of the layer's where there was one. */
  #ownPeers(): Map<string, WireguardPeer> {
    this.#own ??= new Map(this.#peers);
    this.#layer = undefined;
    return this.#own;
  }

  /** Whose packets come from or go to `address`. */
  #peerFor(address: IpAddress): WireguardPeer | undefined {
    let allowed = this.#layer?.allowed ?? this.#ownAllowed;
    if (allowed === undefined) {
      allowed = new LpmTable();
      for (const peer of this.#peers.values()) {
        for (const prefix of peer.allowedIps) allowed.set(prefix, peer);
      }
      this.#ownAllowed = allowed;
    }
    const peer = allowed.lookup(address);
    return peer?.publicKey === this.publicKey ? undefined : peer;
  }

  protected override stateChanged(): void {
    if (this.up && this.#socket === undefined) {
      this.#socket = new UdpSocket(this.underlay, {
        localPort: this.listenPort,
        owner: "kernel wireguard",
        mark: this.fwmark,
        tunnel: true,
        onReceive: (datagram) => this.#receive(datagram),
      });
    } else if (!this.up) {
      this.#socket?.close();
      this.#socket = undefined;
      this.#sessions.clear();
      this.#offered.clear();
      for (const key of [...this.#handshakes.keys()]) this.#giveUp(key);
    }
  }

  /** `wg_xmit`. */
  protected transmit(skb: Skb): void {
    const packet = skb.ip;
    const peer = skb.isIp ? this.#peerFor(packet.dst) : undefined;
    if (peer === undefined) {
      this.#refuse(skb, "ENOKEY", `no peer may have ${formatIp(packet.dst)}`);
      return;
    }
    const endpoint = this.#roamed.get(peer.publicKey) ?? peer.endpoint;
    if (endpoint === undefined || this.#socket === undefined) {
      this.#refuse(skb, "EDESTADDRREQ", `peer ${peer.publicKey} has no endpoint`);
      return;
    }
    this.network.recording?.unrepeatable();
    const { now } = this.network.clock;
    const session = this.#sessions.get(peer.publicKey);
    if (session === undefined || now >= session.since + REJECT_AFTER_TIME) {
      this.#wait(skb, peer);
      return;
    }
    session.unanswered ??= now;
    if (now >= session.unanswered + NEW_HANDSHAKE_TIME) this.#initiate(peer, skb);
    this.#sendData(skb, endpoint);
  }

  #sendData(skb: Skb, { address, port }: Endpoint): void {
    skb.trace?.steps.push({
      kind: "note",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      text: `encrypted for ${formatEndpoint(address, port)}`,
    });
    const data = new WireguardData(this.publicKey, skb.ip);
    const error = this.#socket?.sendTo(address, port, data, {
      trace: skb.trace,
      dontFragment: false,
    });
    if (error !== undefined) this.drop(skb, "IP_OUTNOROUTES", error.message);
  }

  /** Keeps a packet until there are keys to send it with (`wg_packet_send_staged_packets`). */
  #wait(skb: Skb, peer: WireguardPeer): void {
    const handshake = this.#handshakeWith(peer);
    handshake.staged.push(skb);
    if (handshake.staged.length > MAX_STAGED_PACKETS) {
      this.drop(handshake.staged.shift() as Skb, "WIREGUARD_NO_SESSION", "too many packets wait");
    }
    skb.trace?.steps.push({
      kind: "note",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      text: `waits for a handshake with peer ${peer.publicKey}`,
    });
    this.#initiate(peer, skb);
  }

  /** `wg_packet_send_handshake_initiation`: at most one in {@link REKEY_TIMEOUT}. */
  #initiate(peer: WireguardPeer, waiting: Skb): void {
    const { now } = this.network.clock;
    const handshake = this.#handshakeWith(peer);
    if (now < handshake.sentAt + REKEY_TIMEOUT) return;
    handshake.sentAt = now;
    this.network.clock.schedule(REKEY_TIMEOUT, () => this.#again(peer.publicKey, handshake), {
      background: true,
    });
    const endpoint = this.#roamed.get(peer.publicKey) ?? peer.endpoint;
    if (endpoint !== undefined) {
      this.#sendHandshake(WIREGUARD_INITIATION, endpoint, waiting.ip, waiting.trace);
    }
  }

  /** The one that is under way, or about to be. */
  #handshakeWith({ publicKey }: WireguardPeer): Handshake {
    let handshake = this.#handshakes.get(publicKey);
    if (handshake === undefined) {
      handshake = { staged: [], retries: 0, sentAt: Number.NEGATIVE_INFINITY };
      this.#handshakes.set(publicKey, handshake);
    }
    return handshake;
  }

  #sendHandshake(
    type: WireguardHandshake["type"],
    { address, port }: Endpoint,
    waiting: IpPacket,
    trace: Trace | undefined,
  ): void {
    const message = new WireguardHandshake(type, this.publicKey, waiting);
    this.#socket?.sendTo(address, port, message, { trace, dontFragment: false });
  }

  /** Nothing came of a handshake: once more, or never (`wg_expired_retransmit_handshake`). */
  #again(publicKey: string, handshake: Handshake): void {
    if (this.#handshakes.get(publicKey) !== handshake) return;
    const peer = this.#peers.get(publicKey);
    const [first] = handshake.staged;
    if (peer === undefined || first === undefined || handshake.retries > MAX_TIMER_HANDSHAKES) {
      this.#giveUp(publicKey);
      return;
    }
    handshake.retries++;
    this.#initiate(peer, first);
  }

  #giveUp(publicKey: string): void {
    const staged = this.#handshakes.get(publicKey)?.staged ?? [];
    this.#handshakes.delete(publicKey);
    for (const skb of staged) {
      this.drop(skb, "WIREGUARD_NO_SESSION", `no handshake with peer ${publicKey}`);
    }
  }

  /** Ends what there is with a peer. */
  #forget(publicKey: string): void {
    this.#sessions.delete(publicKey);
    this.#offered.delete(publicKey);
    this.#giveUp(publicKey);
  }

  /** The sender hears of it twice: its call fails, and an ICMP message comes. */
  #refuse(skb: Skb, errno: "ENOKEY" | "EDESTADDRREQ", detail: string): void {
    skb.sendErrno ??= errno;
    if (skb.ip.version === 4) icmpNdoSend(skb, this.netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
    else icmpNdoSend(skb, this.netns, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH);
    this.drop(skb, "WIREGUARD_NO_PEER", detail);
  }

  /** A handshake's message: the one who asked may send at once, the one who answered when data has come. */
  #receiveHandshake(
    datagram: ReceivedDatagram,
    { type, waiting }: WireguardHandshake,
    peer: WireguardPeer,
  ): void {
    const session: Session = { since: this.network.clock.now, unanswered: undefined };
    if (type === WIREGUARD_INITIATION) {
      this.#heardFrom(peer, datagram);
      this.#offered.set(peer.publicKey, session);
      const from = { address: datagram.src, port: datagram.srcPort };
      this.#sendHandshake(WIREGUARD_RESPONSE, from, waiting, datagram.skb.trace);
      return;
    }
    if (!this.#handshakes.has(peer.publicKey)) return; // nobody asked
    this.#heardFrom(peer, datagram);
    this.#establish(peer, session);
  }

  /** There are keys: what waited for them goes. */
  #establish({ publicKey, endpoint }: WireguardPeer, session: Session): void {
    session.unanswered = undefined;
    this.#sessions.set(publicKey, session);
    const handshake = this.#handshakes.get(publicKey);
    if (handshake === undefined) return;
    this.#handshakes.delete(publicKey);
    for (const skb of handshake.staged) {
      this.#sendData(skb, this.#roamed.get(publicKey) ?? (endpoint as Endpoint));
    }
  }

  /** Peers may roam: answers go where the last valid message came from. */
  #heardFrom(peer: WireguardPeer, { src, srcPort }: ReceivedDatagram): void {
    const known = this.#roamed.get(peer.publicKey) ?? peer.endpoint;
    if (known?.address === src && known.port === srcPort) return;
    this.#roamed.set(peer.publicKey, { address: src, port: srcPort });
    this.network.touch();
  }

  #receive(datagram: ReceivedDatagram): void {
    const { skb } = datagram;
    const data = datagram.payload;
    if (!(data instanceof WireguardData || data instanceof WireguardHandshake)) {
      this.drop(skb, "IP_INHDR", "not a WireGuard message");
      return;
    }
    const peer = this.#peers.get(data.senderKey);
    if (peer === undefined) {
      this.drop(skb, "WIREGUARD_NO_PEER", "encrypted by a key that is no peer's");
      return;
    }
    if (data instanceof WireguardHandshake) {
      this.#receiveHandshake(datagram, data, peer);
      return;
    }
    const session = this.#offered.get(peer.publicKey) ?? this.#sessions.get(peer.publicKey);
    if (session === undefined || this.network.clock.now >= session.since + REJECT_AFTER_TIME) {
      this.drop(skb, "WIREGUARD_NO_SESSION", "encrypted with keys that are not known here");
      return;
    }
    this.#offered.delete(peer.publicKey);
    this.#establish(peer, session);
    this.#heardFrom(peer, datagram);
    const inner: IpPacket = data.packet;
    if (this.#peerFor(inner.src)?.publicKey !== peer.publicKey) {
      this.drop(
        skb,
        "WIREGUARD_ALLOWED_IPS",
        `its sender may not send from ${formatIp(inner.src)}`,
      );
      return;
    }
    skb.trace?.steps.push({
      kind: "decapsulate",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      outer: skb.ip.withPayload(skb.ip.payload),
      protocol: "WireGuard",
    });
    skb.scrub(this.netns !== this.underlay);
    skb.packet = inner;
    skb.forgetFragments();
    skb.etherType = inner.version === 4 ? ETH_P_IP : ETH_P_IPV6;
    this.network.enqueue(this, skb);
  }
}
