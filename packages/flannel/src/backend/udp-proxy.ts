import { type Skb, type Tun, UdpSocket } from "@cnilab/linux";
import {
  ICMP_DEST_UNREACH,
  ICMP_NET_UNREACH,
  IcmpMessage,
  IPPROTO_ICMP,
  type IpAddress,
  IpPacket,
  type Ipv4Address,
  type LpmTable,
  type Prefix,
  QuotedPacket,
} from "@cnilab/net";

/** TTL of the proxy's own ICMP messages. */
const ICMP_TTL = 8;

/**
 * The program between `flannel0` and the other nodes: reads packets, sends them on by UDP, writes what
 * comes by UDP (pkg/backend/udp/proxy_amd64.c).
 */
export class UdpProxy {
  readonly #tun: Tun;
  /** The node's subnet; its first address is the device's. */
  readonly #own: Prefix;
  readonly #socket: UdpSocket;
  /** Public addresses by subnet. */
  routes: LpmTable<IpAddress>;

  /** @throws KernelError EADDRINUSE */
  constructor(
    tun: Tun,
    own: Prefix,
    listen: { readonly address: Ipv4Address; readonly port: number },
    routes: LpmTable<IpAddress>,
  ) {
    this.#tun = tun;
    this.#own = own;
    this.routes = routes;
    this.#socket = new UdpSocket(tun.netns, {
      localAddress: listen.address,
      localPort: listen.port,
      owner: "flanneld",
      tunnel: true,
      onReceive: ({ payload, skb }) => {
        // Whatever else arrives is no packet that the kernel would take from the device.
        if (payload instanceof IpPacket) this.#fromUdp(payload, skb);
      },
    });
    tun.attach((packet, skb) => this.#fromTun(packet, skb));
  }

  #fromTun(packet: IpPacket, skb: Skb): void {
    // The list has all leases; the node's own is not one to it.
    const nextHop = this.#own.contains(packet.dst) ? undefined : this.routes.lookup(packet.dst);
    if (nextHop === undefined) {
      this.#note(skb, "flanneld's proxy knows no node for the packet");
      this.#sendNetUnreachable(packet, skb);
      return;
    }
    if (!this.#decrementTtl(packet, skb)) return;
    this.#note(skb, "flanneld's proxy sends the packet on by UDP");
    this.#socket.sendTo(nextHop, this.#socket.localPort, packet, { trace: skb.trace });
  }

  #fromUdp(packet: IpPacket, skb: Skb): void {
    if (!this.#decrementTtl(packet, skb)) return;
    this.#note(skb, `flanneld's proxy writes the packet to ${this.#tun.name}`);
    this.#tun.write(packet, skb.trace, skb.number);
  }

  /** False: it was the last one, and nobody is told. */
  #decrementTtl(packet: IpPacket, skb: Skb): boolean {
    packet.ttl--;
    if (packet.ttl > 0) return true;
    this.#tun.drop(skb, "TTL_EXCEEDED", "dropped by flanneld's proxy");
    return false;
  }

  /** Never about ICMP, and about a first fragment only (RFC 792). */
  #sendNetUnreachable(packet: IpPacket, skb: Skb): void {
    const answers = packet.protocol !== IPPROTO_ICMP && packet.fragmentOffset === 0;
    if (answers) {
      const message = new IcmpMessage(ICMP_DEST_UNREACH, ICMP_NET_UNREACH, 0);
      message.payload = new QuotedPacket(packet, packet.headerLength + 8);
      const answer = new IpPacket(this.#own.address, packet.src, IPPROTO_ICMP, message, ICMP_TTL);
      this.#tun.write(answer, skb.trace);
    }
    this.#tun.drop(skb, "IP_OUTNOROUTES", "no lease has the address");
  }

  #note(skb: Skb, text: string): void {
    const { netns } = this.#tun;
    skb.trace?.steps.push({ kind: "note", netns, packet: skb.number, dev: this.#tun, text });
  }

  /** Closes socket and device; a device that nobody has open is gone. */
  stop(): void {
    this.#socket.close();
    this.#tun.attach(undefined);
    this.#tun.remove();
  }
}
