import type { IpAddress } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { flowHash } from "../ip/flow-hash.ts";
import type { PacketType, Skb } from "../skb.ts";
import type { BpfProgram } from "./bpf-program.ts";
import { PacketContext } from "./packet-context.ts";
import { SkbBpf, type TunnelKey } from "./skb-bpf.ts";
import { BPF_F_INGRESS, TC_ACT_REDIRECT, TC_ACT_SHOT, TC_ACT_UNSPEC } from "./verdict.ts";

/** The two ways at a device on which programs of tc stand. */
export type TcDirection = "ingress" | "egress";

/** Where a program sends a packet (`struct bpf_redirect_info`). */
export interface RedirectTarget {
  readonly ifindex: number;
  readonly how: "egress" | "ingress" | "peer" | "neigh";
  /** Whom `bpf_redirect_neigh` hands it to; the route says where it is absent. */
  readonly nextHop: IpAddress | undefined;
}

/** What a program of tc is given: `struct __sk_buff`. */
export class TcContext extends PacketContext {
  readonly direction: TcDirection;
  /** What the program said, once it is done. */
  verdict: number = TC_ACT_UNSPEC;
  /** Set by the redirecting calls. */
  target: RedirectTarget | undefined = undefined;
  /** Whether there is an Ethernet header before the packet. */
  hasMacHeader: boolean;

  constructor(program: BpfProgram, dev: NetDevice, skb: Skb, direction: TcDirection) {
    super(program, dev, skb);
    this.direction = direction;
    this.hasMacHeader = dev.isEthernet;
  }

  get mark(): number {
    return this.skb.mark;
  }

  set mark(mark: number) {
    this.skb.mark = mark >>> 0;
  }

  get priority(): number {
    return this.skb.priority;
  }

  set priority(priority: number) {
    this.skb.priority = priority >>> 0;
  }

  /** The device it came in by; 0 for the machine's own. */
  get ingressIfindex(): number {
    return this.skb.iif?.ifindex ?? 0;
  }

  get packetType(): PacketType {
    return this.skb.packetType;
  }

  /** `bpf_skb_change_type`. */
  set packetType(type: PacketType) {
    this.skb.packetType = type;
  }

  /** Bytes from the link-layer header on. */
  get length(): number {
    return this.skb.length + (this.hasMacHeader ? 14 : 0);
  }

  /** Which flow it belongs to (`bpf_get_hash_recalc`). */
  get hash(): number {
    return flowHash(this.skb);
  }

  /** `bpf_set_hash_invalid`. */
  invalidateHash(): void {
    this.skb.flowHash = undefined;
  }

  /** Five words for the next program that sees the packet here. */
  get cb(): [number, number, number, number, number] {
    return this.#own().cb;
  }

  get tcClassId(): number {
    return this.skb.bpf?.tcClassId ?? 0;
  }

  set tcClassId(id: number) {
    this.#own().tcClassId = id;
  }

  get tcIndex(): number {
    return this.skb.bpf?.tcIndex ?? 0;
  }

  set tcIndex(index: number) {
    this.#own().tcIndex = index;
  }

  /** What an XDP program has left for this one; 0 where there was none. */
  get xdpMeta(): number {
    return this.skb.bpf?.xdpMeta ?? 0;
  }

  /** Where the packet came from, if that was a collect-metadata tunnel (`bpf_skb_get_tunnel_key`). */
  get tunnelKey(): TunnelKey | undefined {
    const { bpf } = this.skb;
    return this.direction === "ingress" ? bpf?.tunnelRx : bpf?.tunnelTx;
  }

  /** Says what a collect-metadata tunnel shall do with it (`bpf_skb_set_tunnel_key`, `bpf_skb_set_tunnel_opt`). */
  setTunnelKey(key: TunnelKey): void {
    const own = this.#own();
    own.tunnelTx = key;
    own.tunnelRx = undefined;
    this.skb.dst = undefined; // skb_dst_drop
  }

  #own(): SkbBpf {
    this.skb.bpf ??= new SkbBpf();
    return this.skb.bpf;
  }

  /** Puts room for an Ethernet header before a packet that has none (`bpf_skb_change_head`). */
  changeHead(): void {
    this.hasMacHeader = true;
  }

  /** Sends it out of another device, or with `BPF_F_INGRESS` into it (`bpf_redirect`). */
  redirect(ifindex: number, flags = 0): number {
    const how = flags & BPF_F_INGRESS ? "ingress" : "egress";
    this.target = { ifindex, how, nextHop: undefined };
    return TC_ACT_REDIRECT;
  }

  /** Hands it to the other end of a pair of devices, in the other's namespace (`bpf_redirect_peer`); on the way in only. */
  redirectPeer(ifindex: number): number {
    // A call that is wrong here is TC_ACT_SHOT for who returns what it said.
    if (this.direction !== "ingress") return TC_ACT_SHOT;
    this.target = { ifindex, how: "peer", nextHop: undefined };
    return TC_ACT_REDIRECT;
  }

  /** Sends it out of another device, to the neighbour that a route or `nextHop` names (`bpf_redirect_neigh`). */
  redirectNeigh(ifindex: number, nextHop?: IpAddress): number {
    this.target = { ifindex, how: "neigh", nextHop };
    return TC_ACT_REDIRECT;
  }

  override shot(detail: string): number {
    this.dropDetail = detail;
    return TC_ACT_SHOT;
  }
}
