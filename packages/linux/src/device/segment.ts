import {
  type ArpPacket,
  BROADCAST_MAC,
  ETHERNET_HEADER_LENGTH,
  isGroupMac,
  type Mac,
} from "@cnilab/net";
import type { Network } from "../network.ts";
import type { Skb } from "../skb.ts";
import { ArpAudience } from "./arp-audience.ts";
import type { Nic } from "./nic.ts";
import { isSolicitedMac, SolicitedAudience } from "./solicited-audience.ts";

/** What goes wrong between two machines on a segment, or with everything from one. */
export interface LinkFault {
  /** Nothing gets through. */
  readonly cut?: boolean;
  /** Probability of loss, 0 to 1. */
  readonly loss?: number;
  /** Virtual milliseconds on the way. */
  readonly delayMs?: number;
}

export interface SegmentFault {
  readonly from: Nic;
  readonly to: Nic;
  readonly fault: LinkFault;
}

/**
 * The wires and the switch between machines: one Ethernet broadcast domain. It learns where MACs are,
 * and knows those of its own NICs from the start.
 */
export class Segment {
  readonly name: string;
  readonly network: Network;
  /** Frames with more bytes behind the Ethernet header are lost here, without a word. */
  mtu: number;
  readonly nics: Set<Nic> = new Set();
  readonly arpAudience: ArpAudience;
  readonly #solicitedAudience: SolicitedAudience;
  readonly #macs = new Map<Mac, Nic>();
  readonly #faults = new Map<string, SegmentFault>();

  constructor(network: Network, name: string, mtu = 65535) {
    this.network = network;
    this.name = name;
    this.mtu = mtu;
    this.arpAudience = new ArpAudience(network, this.nics);
    this.#solicitedAudience = new SolicitedAudience(network, this.nics);
  }

  plug(nic: Nic): void {
    this.nics.add(nic);
    this.arpAudience.changed();
    this.#macs.set(nic.mac, nic);
    this.network.touch();
  }

  unplug(nic: Nic): void {
    this.nics.delete(nic);
    this.arpAudience.changed();
    for (const [mac, there] of this.#macs) if (there === nic) this.#macs.delete(mac);
    this.network.touch();
  }

  /** The NIC's own MAC has changed. */
  macChanged(nic: Nic, old: Mac): void {
    if (this.#macs.get(old) === nic) this.#macs.delete(old);
    this.#macs.set(nic.mac, nic);
  }

  /** Sets or (with `undefined`) mends what is wrong with frames from one NIC to another. */
  setFault(from: Nic, to: Nic, fault: LinkFault | undefined): void {
    const key = faultKey(from, to);
    if (fault === undefined) this.#faults.delete(key);
    else this.#faults.set(key, { from, to, fault });
    this.network.touch();
  }

  /** What is wrong, from whom to whom. */
  get faults(): Iterable<SegmentFault> {
    return this.#faults.values();
  }

  /** A frame leaves a NIC. */
  carry(from: Nic, skb: Skb): void {
    if (skb.packet.length > this.mtu) {
      from.drop(
        skb,
        "PKT_TOO_BIG",
        `${skb.packet.length + ETHERNET_HEADER_LENGTH} byte frame, MTU ${this.mtu} of segment ${this.name}`,
      );
      return;
    }
    // As a switch learns; the NICs' own MACs stay where they are.
    const known = this.#macs.get(skb.srcMac);
    if (known !== from && known?.mac !== skb.srcMac) {
      this.#macs.set(skb.srcMac, from);
      this.network.touch();
    }
    if (!isGroupMac(skb.dstMac)) {
      const to = this.#macs.get(skb.dstMac);
      if (to !== undefined) {
        if (to !== from) this.#deliver(from, to, skb);
        return;
      }
    }
    let delivered = false;
    this.network.recording?.unrepeatable();
    for (const to of this.#audience(skb)) {
      if (to === from || !to.wants(skb)) continue;
      delivered = true;
      this.#deliver(from, to, skb.clone());
    }
    if (!delivered && !isGroupMac(skb.dstMac)) {
      from.drop(skb, "NO_PEER", `no machine on ${this.name} has the MAC of the frame`);
    }
  }

  /** All whom a frame without one receiver may concern. */
  #audience(skb: Skb): Iterable<Nic> {
    if (skb.isArp && skb.dstMac === BROADCAST_MAC) {
      return this.arpAudience.of(skb.packet as ArpPacket);
    }
    return isSolicitedMac(skb.dstMac) ? this.#solicitedAudience.of(skb.dstMac) : this.nics;
  }

  #deliver(from: Nic, to: Nic, skb: Skb): void {
    const fault = this.#faults.size === 0 ? undefined : this.#faults.get(faultKey(from, to))?.fault;
    if (fault?.cut) {
      from.drop(skb, "PARTITION", `${from.netns} and ${to.netns} are cut off from each other`);
      return;
    }
    if (fault?.loss !== undefined && fault.loss > 0) {
      this.network.recording?.unrepeatable();
      if (this.network.random.uint32() < fault.loss * 0x100000000) {
        from.drop(skb, "LINK_LOSS", `lost between ${from.netns} and ${to.netns}`);
        return;
      }
    }
    skb.scrub(true);
    skb.bpf = undefined; // nothing of a machine's own goes over the wire
    if (fault?.delayMs !== undefined && fault.delayMs > 0) {
      this.network.later(fault.delayMs, () => {
        to.classify(skb);
        this.network.enqueue(to, skb);
      });
      return;
    }
    to.classify(skb);
    this.network.enqueue(to, skb);
  }
}

function faultKey(from: Nic, to: Nic): string {
  return `${from.netns.kernel.hostname}/${from.name}>${to.netns.kernel.hostname}/${to.name}`;
}
