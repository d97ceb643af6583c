import {
  ETH_P_ARP,
  ETH_P_IP,
  ETH_P_IPV6,
  EthernetFrame,
  type IpAddress,
  type IpPacket,
  type Mac,
  type NetworkPacket,
} from "@cnilab/net";
import type { SkbBpf } from "./bpf/skb-bpf.ts";
import type { NetDevice } from "./device/net-device.ts";
import type { Dst } from "./fib/dst.ts";
import type { ConntrackEntry, ConntrackInfo } from "./netfilter/conntrack-entry.ts";
import type { Socket, SocketError } from "./socket/socket.ts";
import type { Trace } from "./trace.ts";
import type { XfrmRoute } from "./xfrm/xfrm.ts";

/** For whom the frame is (include/uapi/linux/if_packet.h). */
export type PacketType = 0 | 1 | 2 | 3;
export const PACKET_HOST = 0;
export const PACKET_BROADCAST = 1;
export const PACKET_MULTICAST = 2;
export const PACKET_OTHERHOST = 3;

/** What br_netfilter remembers of a bridged frame (`struct nf_bridge_info`). */
export interface NfBridgeInfo {
  /** The port it came in by. */
  physin: NetDevice;
  /** The port it leaves by; set while FORWARD and POSTROUTING run for the bridge. */
  physout: NetDevice | undefined;
  /** Destination before PREROUTING, to notice a DNAT. */
  readonly originalDst: IpAddress;
  /** Source MAC of the frame, which a bridged DNAT keeps. */
  readonly srcMac: Mac;
  /** PREROUTING is running on behalf of the bridge right now. */
  inPrerouting: boolean;
  /** The IP stack's own PREROUTING was skipped, as it has run. */
  sabotaged: boolean;
  /** The frame was for another host before the hooks saw it. */
  otherhost: boolean;
  /** Waits for the neighbour that a bridged DNAT sends it to. */
  bridgedDnat: boolean;
}

/** A packet on its way through one machine: `struct sk_buff`. */
export class Skb {
  dstMac: Mac = 0;
  srcMac: Mac = 0;
  etherType: number;
  packet: NetworkPacket;
  /** The device that is handling it. */
  dev: NetDevice | undefined = undefined;
  /** The device it came in by; `undefined` for packets of this machine's own. */
  iif: NetDevice | undefined = undefined;
  packetType: PacketType = PACKET_HOST;
  mark = 0;
  priority = 0;
  ct: ConntrackEntry | undefined = undefined;
  /** Meaningful while {@link ct} is set; IP_CT_UNTRACKED without it for a packet to be left alone. */
  ctInfo: ConntrackInfo = 0;
  /** The conntrack zones that a rule chose before tracking: original in the low 16 bits, reply in the high. */
  ctZones = 0;
  /** Where routing sends it; a tunnel's metadata may stand here before. */
  dst: Dst | undefined = undefined;
  /** The socket that sent it. */
  socket: Socket | undefined = undefined;
  nfBridge: NfBridgeInfo | undefined = undefined;
  /** IPVS has done with it what it does (`ipvs_property`). */
  ipvsProperty = false;
  /** Put together from fragments no larger than this; 0 for a packet that was whole. */
  fragMaxSize = 0;
  /**
   * It may be cut, whatever its header says (`ignore_df`): put together from fragments, or sent by a socket that does
   * not insist on whole packets.
   */
  ignoreDf = false;
  /**
   * Bytes of the packets that its socket has laid its data out for, or that it was put together from, 0 where it fitted
   * into one: it is cut in these where the way does not ask for smaller ones (the fast path of `ip_do_fragment`).
   */
  fragmentSize = 0;
  /**
   * Connection tracking or a UDP tunnel has found the transport checksum right (`csum_valid`). The first fragment that
   * a whole packet is cut into again keeps this.
   */
  checksumValid = false;
  /** Its sender has worked out the checksum itself, as who sends whole frames does (CHECKSUM_NONE). */
  summedBySender = false;
  /** What the IPv6 header has added to the sum that connection tracking took of it (`rememberSum`); else -1. */
  summedHeader = -1;
  /**
   * Cut from data that TCP hands over in one piece (`skb_is_gso`): virtual links pass that on uncut, whatever their MTU.
   */
  gso = false;
  /** Which flow it belongs to, once somebody has asked (ip/flow-hash.ts). */
  flowHash: number | undefined = undefined;
  /** What its route leads through, to leave encrypted. */
  xfrm: XfrmRoute = undefined;
  /** It was encrypted here, and is not looked at for that again (`IPSKB_XFRM_TRANSFORMED`). */
  isTransformed = false;
  /** It came encrypted (`sec_path`). */
  wasEncrypted = false;
  /** What eBPF programs and the tunnels that they use keep with it. */
  bpf: SkbBpf | undefined = undefined;
  /** What the call that sent it fails with, once the machine that sent it has refused it. */
  sendErrno: SocketError["errno"] | undefined = undefined;
  /** Records every step while set. */
  trace: Trace | undefined;
  /** Which packet of the trace this is; copies and tunnelled packets keep their number. */
  number: number;

  constructor(etherType: number, packet: NetworkPacket, trace: Trace | undefined) {
    this.etherType = etherType;
    this.packet = packet;
    this.trace = trace;
    this.number = trace === undefined ? 0 : trace.nextNumber();
  }

  /** An IP packet of this machine's own, with no link-layer header yet. */
  static ofIp(packet: IpPacket, trace: Trace | undefined): Skb {
    return new Skb(packet.version === 4 ? ETH_P_IP : ETH_P_IPV6, packet, trace);
  }

  /** As {@link ofIp}, of a program that carries another packet in it: that one's trace goes on under its number. */
  static carrying(packet: IpPacket, trace: Trace | undefined, number: number): Skb {
    const skb = Skb.ofIp(packet, undefined);
    skb.trace = trace;
    skb.number = number;
    return skb;
  }

  /** The IP packet; only for EtherTypes IPv4 and IPv6. */
  get ip(): IpPacket {
    return this.packet as IpPacket;
  }

  get isIp(): boolean {
    return this.etherType === ETH_P_IP || this.etherType === ETH_P_IPV6;
  }

  get isArp(): boolean {
    return this.etherType === ETH_P_ARP;
  }

  /** Bytes from the network header on, as device MTUs count them. */
  get length(): number {
    return this.packet.length;
  }

  /** What the frame looks like on the wire; shares the packet. */
  frame(): EthernetFrame {
    return new EthernetFrame(this.dstMac, this.srcMac, this.etherType, this.packet);
  }

  /** An independent copy, as flooding makes it; the connection is shared (`skb_clone`). */
  clone(): Skb {
    const copy = new Skb(this.etherType, this.packet.clone(), undefined);
    copy.trace = this.trace;
    copy.number = this.number;
    copy.dstMac = this.dstMac;
    copy.srcMac = this.srcMac;
    copy.dev = this.dev;
    copy.iif = this.iif;
    copy.packetType = this.packetType;
    copy.mark = this.mark;
    copy.priority = this.priority;
    copy.ct = this.ct;
    copy.ctInfo = this.ctInfo;
    copy.ctZones = this.ctZones;
    copy.dst = this.dst;
    copy.socket = this.socket;
    copy.nfBridge = this.nfBridge && { ...this.nfBridge };
    copy.ipvsProperty = this.ipvsProperty;
    copy.fragMaxSize = this.fragMaxSize;
    copy.ignoreDf = this.ignoreDf;
    copy.gso = this.gso;
    copy.checksumValid = this.checksumValid;
    copy.summedBySender = this.summedBySender;
    copy.summedHeader = this.summedHeader;
    copy.flowHash = this.flowHash;
    copy.xfrm = this.xfrm;
    copy.isTransformed = this.isTransformed;
    copy.wasEncrypted = this.wasEncrypted;
    copy.bpf = this.bpf?.clone();
    return copy;
  }

  /**
   * A tunnel has put headers before it or taken them away, of a length that is no multiple of eight: what it lies in are
   * no fragments any more.
   */
  forgetFragments(): void {
    this.fragmentSize = 0;
  }

  /** Forgets what belongs to the namespace left behind (`skb_scrub_packet`). */
  scrub(crossesNamespace: boolean): void {
    this.packetType = PACKET_HOST;
    this.iif = undefined;
    this.dst = undefined;
    this.ct = undefined;
    this.ctInfo = 0;
    this.ctZones = 0;
    this.nfBridge = undefined;
    this.fragMaxSize = 0;
    this.ignoreDf = false;
    this.priority = 0;
    this.xfrm = undefined;
    this.isTransformed = false;
    this.wasEncrypted = false;
    if (this.bpf !== undefined) {
      // skb_dst_drop: a tunnel's metadata stands for a route
      this.bpf.tunnelTx = undefined;
      this.bpf.tunnelRx = undefined;
    }
    if (crossesNamespace) {
      this.mark = 0;
      this.ipvsProperty = false;
      this.socket = undefined;
    }
  }
}
