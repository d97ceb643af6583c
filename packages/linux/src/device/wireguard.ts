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
  WireguardData,
} from "@cnilab/net";
import { icmpSend } from "../ip/icmp-error.ts";
import { KernelError } from "../kernel-error.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import { type ReceivedDatagram, UdpSocket } from "../socket/udp.ts";
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
 * keys, allowed IPs, endpoints and roaming, the size of packets. The handshake always succeeds when
 * both sides know each other's key.
 */
export class Wireguard extends NetDevice {
  readonly kind = "wireguard";
  readonly publicKey: string;
  readonly listenPort: number;
  /** Peers of this device alone; `undefined` while those of the layer are all it has. */
  #own: Map<string, WireguardPeer> | undefined = new Map();
  #layer: WireguardPeerLayer | undefined;
  /** Made of {@link #own} when a packet needs it. */
  #ownAllowed: LpmTable<WireguardPeer> | undefined;
  /** Where peers were last heard of, when that is not what they were set to. */
  readonly #roamed = new Map<string, Endpoint>();
  #socket: UdpSocket | undefined;
  readonly underlay: NetNamespace;

  constructor(
    netns: NetNamespace,
    options: DeviceOptions & { readonly publicKey: string; readonly listenPort?: number },
  ) {
    super(netns, options, 1420);
    this.publicKey = options.publicKey;
    this.listenPort = options.listenPort ?? 51820;
    this.underlay = netns;
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
        tunnel: true,
        onReceive: (datagram) => this.#receive(datagram),
      });
    } else if (!this.up) {
      this.#socket?.close();
      this.#socket = undefined;
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
    const { address, port } = endpoint;
    this.network.recording?.unrepeatable();
    skb.trace?.steps.push({
      kind: "note",
      netns: this.netns,
      packet: skb.number,
      dev: this,
      text: `encrypted for ${formatEndpoint(address, port)}`,
    });
    const error = this.#socket.sendTo(address, port, new WireguardData(this.publicKey, packet), {
      trace: skb.trace,
      dontFragment: false,
    });
    if (error !== undefined) this.drop(skb, "IP_OUTNOROUTES", error.message);
  }

  /** The sender hears of it twice: its call fails, and an ICMP message comes. */
  #refuse(skb: Skb, errno: "ENOKEY" | "EDESTADDRREQ", detail: string): void {
    skb.sendErrno ??= errno;
    if (skb.ip.version === 4) icmpSend(skb, this.netns, ICMP_DEST_UNREACH, ICMP_HOST_UNREACH);
    else icmpSend(skb, this.netns, ICMPV6_DEST_UNREACH, ICMPV6_ADDR_UNREACH);
    this.drop(skb, "WIREGUARD_NO_PEER", detail);
  }

  #receive(datagram: ReceivedDatagram): void {
    const { skb } = datagram;
    const data = datagram.payload;
    if (!(data instanceof WireguardData)) {
      this.drop(skb, "IP_INHDR", "not a WireGuard message");
      return;
    }
    const peer = this.#peers.get(data.senderKey);
    if (peer === undefined) {
      this.drop(skb, "WIREGUARD_NO_PEER", "encrypted by a key that is no peer's");
      return;
    }
    const known = this.#roamed.get(peer.publicKey) ?? peer.endpoint;
    if (known?.address !== datagram.src || known.port !== datagram.srcPort) {
      // Peers may roam: answers go where the last valid packet came from.
      this.#roamed.set(peer.publicKey, { address: datagram.src, port: datagram.srcPort });
      this.network.touch();
    }
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
    skb.etherType = inner.version === 4 ? ETH_P_IP : ETH_P_IPV6;
    this.network.enqueue(this, skb);
  }
}
