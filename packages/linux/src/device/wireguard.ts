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

/**
 * An encrypted tunnel (kernel drivers/net/wireguard). What is modelled is who may send what to whom:
 * keys, allowed IPs, endpoints and roaming, the size of packets. The handshake always succeeds when
 * both sides know each other's key.
 */
export class Wireguard extends NetDevice {
  readonly kind = "wireguard";
  readonly publicKey: string;
  readonly listenPort: number;
  readonly #peers = new Map<string, WireguardPeer>();
  #allowed = new LpmTable<WireguardPeer>();
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

  get peers(): Iterable<WireguardPeer> {
    return this.#peers.values();
  }

  setPeer(peer: WireguardPeer): void {
    this.#peers.set(peer.publicKey, peer);
    this.#rebuild();
  }

  removePeer(publicKey: string): void {
    if (!this.#peers.delete(publicKey)) throw new KernelError("ENOENT", `peer ${publicKey}`);
    this.#rebuild();
  }

  /** Each allowed prefix belongs to the peer that was given it last. */
  #rebuild(): void {
    this.#allowed = new LpmTable();
    for (const peer of this.#peers.values()) {
      for (const prefix of peer.allowedIps) this.#allowed.set(prefix, peer);
    }
    this.network.touch();
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
    const peer = skb.isIp ? this.#allowed.lookup(packet.dst) : undefined;
    if (peer === undefined) {
      this.#refuse(skb, `no peer may have ${formatIp(packet.dst)}`);
      return;
    }
    if (peer.endpoint === undefined || this.#socket === undefined) {
      this.#refuse(skb, `peer ${peer.publicKey} has no endpoint`);
      return;
    }
    const { address, port } = peer.endpoint;
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

  #refuse(skb: Skb, detail: string): void {
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
    if (peer.endpoint?.address !== datagram.src || peer.endpoint.port !== datagram.srcPort) {
      // Peers may roam: answers go where the last valid packet came from.
      const endpoint = { address: datagram.src, port: datagram.srcPort };
      this.#peers.set(peer.publicKey, { ...peer, endpoint });
      this.#rebuild();
    }
    const inner: IpPacket = data.packet;
    if (this.#allowed.lookup(inner.src)?.publicKey !== peer.publicKey) {
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
      outer: skb.ip.withPayload(data),
      protocol: "WireGuard",
    });
    skb.scrub(this.netns !== this.underlay);
    skb.packet = inner;
    skb.etherType = inner.version === 4 ? ETH_P_IP : ETH_P_IPV6;
    this.network.enqueue(this, skb);
  }
}
