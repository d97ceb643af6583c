import type { TcHook } from "../bpf/tc-hook.ts";
import type { NetDevice } from "../device/net-device.ts";
import type { Skb } from "../skb.ts";

/** A token bucket filter: state only, as time does not pass while a packet is walked. */
export interface TokenBucket {
  readonly kind: "tbf";
  readonly handle: string;
  /** Bytes a second. */
  readonly rate: number;
  /** Bytes. */
  readonly burst: number;
  /** Bytes that may wait. */
  readonly limit: number;
}

/** Sends everything that comes in through another device first. */
export interface MirredRedirect {
  readonly kind: "mirred";
  readonly to: NetDevice;
}

/** What hangs on a device: a root queueing discipline, and what happens on the way in. */
export class TrafficControl {
  readonly #dev: NetDevice;
  root: TokenBucket | undefined = undefined;
  /** Set by an `ingress` qdisc with a catch-all filter. */
  redirect: MirredRedirect | undefined = undefined;
  /** eBPF programs on the way in, and on the way out. */
  ingressHook: TcHook | undefined = undefined;
  egressHook: TcHook | undefined = undefined;

  constructor(dev: NetDevice) {
    this.#dev = dev;
    dev.network.touch();
  }

  /** Whether anything here does something with ARP that comes in. */
  get hearsArp(): boolean {
    return this.redirect !== undefined || this.ingressHook?.passesArp === false;
  }

  /** A packet leaves. False: it was dropped, or sent elsewhere. */
  egress(skb: Skb): boolean {
    if (this.egressHook !== undefined && !this.egressHook.run(skb)) return false;
    return this.enqueue(skb);
  }

  /** The root queueing discipline's part of it. */
  enqueue(skb: Skb): boolean {
    if (this.root !== undefined && skb.packet.length + 14 > this.root.burst) {
      // A packet that can never have enough tokens is lost (tbf_segment, tbf_enqueue).
      this.#dev.drop(skb, "QDISC_DROP", `longer than the burst of ${this.root.burst} bytes`);
      return false;
    }
    return true;
  }

  /** A packet came in. False: it was dropped, or sent elsewhere. */
  ingress(skb: Skb): boolean {
    if (this.ingressHook !== undefined && !this.ingressHook.run(skb)) return false;
    const to = this.redirect?.to;
    if (to === undefined) return true;
    this.#dev.network.recording?.unrepeatable();
    if (!to.up) {
      this.#dev.drop(skb, "TC_INGRESS", `redirected to ${to.name}, which is down`);
      return false;
    }
    to.rxPackets++;
    to.txPackets++;
    skb.trace?.steps.push({
      kind: "note",
      netns: this.#dev.netns,
      packet: skb.number,
      dev: this.#dev,
      text: `shaped by way of ${to.name}`,
    });
    return to.tc?.egress(skb) ?? true;
  }
}
