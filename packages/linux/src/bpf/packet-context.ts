import type { Origin } from "@cnilab/core";
import type { ArpPacket, IpAddress, IpOption, IpPacket, Mac, NetworkPacket } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { describeEnd, setDestination, setSource } from "../netfilter/nat/nat-packet.ts";
import { NF_NAT_MANIP_DST, NF_NAT_MANIP_SRC } from "../netfilter/nat/nat-range.ts";
import type { Skb } from "../skb.ts";
import type { Trace } from "../trace.ts";
import { BpfContext } from "./bpf-context.ts";
import type { BpfProgram } from "./bpf-program.ts";
import { type FibLookup, type FibLookupResult, fibLookup } from "./fib-lookup.ts";

/**
 * A packet that a program reads and rewrites. Its headers are objects: what it writes to `ip` is what goes on. Checksums are
 * worked out when bytes are made of a packet, so that a rewrite is always followed by the right `l3_csum_replace` and
 * `l4_csum_replace`.
 */
export abstract class PacketContext extends BpfContext {
  readonly skb: Skb;
  readonly #dev: NetDevice;
  /** Why it drops the packet, for the trace and the drop. */
  dropDetail = "";
  /** The object that made an agent write what the program dropped it for. */
  dropOrigin: Origin | undefined = undefined;

  constructor(program: BpfProgram, dev: NetDevice, skb: Skb) {
    super(dev.netns, program);
    this.#dev = dev;
    this.skb = skb;
  }

  override get dev(): NetDevice {
    return this.#dev;
  }

  override get trace(): Trace | undefined {
    return this.skb.trace;
  }

  override get packetNumber(): number {
    return this.skb.number;
  }

  get ifindex(): number {
    return this.#dev.ifindex;
  }

  /** EtherType. */
  get protocol(): number {
    return this.skb.etherType;
  }

  get isIp(): boolean {
    return this.skb.isIp;
  }

  /** Only where {@link isIp}. */
  get ip(): IpPacket {
    return this.skb.ip;
  }

  get isArp(): boolean {
    return this.skb.isArp;
  }

  /** Only where {@link isArp}. */
  get arp(): ArpPacket {
    return this.skb.packet as ArpPacket;
  }

  get dstMac(): Mac {
    return this.skb.dstMac;
  }

  set dstMac(mac: Mac) {
    this.skb.dstMac = mac;
  }

  get srcMac(): Mac {
    return this.skb.srcMac;
  }

  set srcMac(mac: Mac) {
    this.skb.srcMac = mac;
  }

  /** Gives the packet another source, and source port where it has one; of an ICMP query the identifier. */
  translateSource(address: IpAddress, port: number): void {
    const { ip } = this;
    const before = this.trace && describeEnd(ip, NF_NAT_MANIP_SRC);
    setSource(ip, address, port);
    if (before !== undefined) this.#traceNat("source", before);
  }

  /** Gives the packet another destination, and destination port where it has one. */
  translateDestination(address: IpAddress, port: number): void {
    const { ip } = this;
    const before = this.trace && describeEnd(ip, NF_NAT_MANIP_DST);
    setDestination(ip, address, port);
    if (before !== undefined) this.#traceNat("destination", before);
  }

  #traceNat(manip: "source" | "destination", from: string): void {
    this.trace?.steps.push({
      kind: "nat",
      netns: this.netns,
      packet: this.skb.number,
      manip,
      from,
      to: describeEnd(this.ip, manip === "source" ? NF_NAT_MANIP_SRC : NF_NAT_MANIP_DST),
      reply: false,
    });
  }

  /** Takes one off the time to live, as who forwards does. @returns false where it is over */
  decrementTtl(): boolean {
    const { ip } = this;
    if (ip.ttl <= 1) return false;
    ip.ttl--;
    this.skb.summedHeader = -1;
    return true;
  }

  /** Makes another packet of it: an answer, one with a header more or less (`bpf_skb_adjust_room`, `bpf_skb_change_proto`). */
  replace(etherType: number, packet: NetworkPacket): void {
    const { skb } = this;
    skb.etherType = etherType;
    skb.packet = packet;
    skb.flowHash = undefined;
    skb.checksumValid = false;
    skb.forgetFragments();
  }

  /** Gives the packet other IPv4 options or IPv6 destination options (`bpf_skb_adjust_room` with `BPF_ADJ_ROOM_NET`). */
  setOptions(options: readonly IpOption[]): void {
    this.ip.options = options;
    this.skb.summedHeader = -1;
  }

  /** How a packet would go on from here (`bpf_fib_lookup`). */
  fibLookup(params: FibLookup): FibLookupResult {
    return fibLookup(this.netns, params);
  }

  /** Drops it: `return ctx.shot("Policy denied")`. */
  abstract shot(detail: string): number;
}
