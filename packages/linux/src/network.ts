import type { Random, VirtualClock } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import type { NetDevice } from "./device/net-device.ts";
import type { DropReason } from "./drop-reason.ts";
import { CachedFlow, FlowRecording } from "./flow-cache.ts";
import type { Kernel } from "./kernel.ts";
import type { NetNamespace } from "./net-namespace.ts";
import type { FilterRule } from "./netfilter/filter-rule.ts";
import { netifReceive } from "./receive.ts";
import type { Skb } from "./skb.ts";
import type { Tracepoints } from "./tracepoints.ts";

/** A packet that ended on the way. */
export interface Drop {
  readonly reason: DropReason;
  readonly netns: NetNamespace;
  readonly dev: NetDevice | undefined;
  readonly detail: string;
  readonly rule: FilterRule | undefined;
  /** The packet that was dropped. */
  readonly skb: Skb;
}

/**
 * Frames that one turn of {@link Network.run} may deliver. More than a switched network of any size
 * needs for one packet; a bridge loop reaches it at once.
 */
const STORM_LIMIT = 1_000_000;

/**
 * All machines that can reach each other, and the queue of frames between their devices. Packets run
 * to completion: whoever sends one calls {@link run}, which returns when no frame is on its way.
 */
export class Network {
  readonly clock: VirtualClock;
  readonly random: Random;
  readonly kernels: Map<string, Kernel> = new Map();
  /** Grows with every change of state that can change a packet's way; see `FlowCache`. */
  epoch = 0;
  /** Grows with every such change but those of what is known of neighbours. */
  configuration = 0;
  /** Frames and answers that are on their way and arrive later: the clock brings them. */
  inFlight = 0;
  /** Addresses that are asked for on a link and have not answered yet. */
  readonly unresolved: Set<{ readonly dev: NetDevice; readonly ip: IpAddress }> = new Set();
  /** Packets dropped since {@link takeDrops}; kept short, as floods drop many. */
  #drops: Drop[] = [];

  // A ring of (device, packet) pairs; `netif_rx` and the softirq of the kernel.
  #devices: (NetDevice | undefined)[] = new Array(64).fill(undefined);
  #packets: (Skb | undefined)[] = new Array(64).fill(undefined);
  #head = 0;
  #length = 0;
  #running = false;
  /** Programs that are to run, see {@link afterFrames}. */
  #turns: (() => void)[] = [];

  /**
   * Rules that do nothing for now, as if they were not there: for the question what would become of a packet without
   * them. What only marks a packet for another to drop it must be among them.
   */
  overlooks: ((rule: FilterRule) => boolean) | undefined = undefined;

  /** Notes what the walk under way does, while somebody wants to repeat it. */
  recording: FlowRecording | undefined = undefined;
  #tracepoints: Tracepoints | undefined = undefined;
  /** Flows that have sent packets whose effects are not in kernel state yet. */
  #pendingFlows: CachedFlow[] = [];

  constructor(clock: VirtualClock, random: Random) {
    this.clock = clock;
    this.random = random;
    clock.beforeAdvance(() => this.settleFlows());
  }

  /** Who hears of every packet, if anybody does. */
  get tracepoints(): Tracepoints | undefined {
    return this.#tracepoints;
  }

  /** While somebody listens, no packet takes a short cut. */
  set tracepoints(tracepoints: Tracepoints | undefined) {
    this.#tracepoints = tracepoints;
    this.touch();
  }

  /**
   * Runs `send`, which sends one packet, and notes the walk. `undefined` when it cannot be repeated,
   * or when other packets are on their way as well, or somebody wants to hear of each.
   */
  record(send: () => void): CachedFlow | undefined {
    if (this.#tracepoints !== undefined) {
      send();
      return undefined;
    }
    if (this.#running || this.#length > 0 || this.recording !== undefined) {
      send();
      return undefined;
    }
    const recording = new FlowRecording();
    this.recording = recording;
    try {
      send();
    } finally {
      this.recording = undefined;
    }
    return CachedFlow.from(this, recording);
  }

  /** A cached flow has effects to settle. */
  flowPending(flow: CachedFlow): void {
    this.#pendingFlows.push(flow);
  }

  /** Brings counters and time stamps up to date; call it before reading them. */
  settleFlows(): void {
    if (this.#pendingFlows.length === 0) return;
    const flows = this.#pendingFlows;
    this.#pendingFlows = [];
    for (const flow of flows) flow.settle();
  }

  /** Tells caches that kernel state has changed. */
  touch(): void {
    this.configuration++;
    this.touchNeighbours();
  }

  /** Tells caches that something else is known of a neighbour. */
  touchNeighbours(): void {
    this.epoch++;
    // A flow's next packet is walked, and must find the state that its cached packets left.
    if (this.#pendingFlows.length > 0) this.settleFlows();
  }

  /** Does something that is part of a packet's way `delayMs` later, and what follows from it. */
  later(delayMs: number, what: () => void): void {
    this.recording?.unrepeatable();
    this.inFlight++;
    this.clock.schedule(delayMs, () => {
      this.inFlight--;
      what();
      this.run();
    });
  }

  /** Puts a frame into a device's receive queue. */
  enqueue(dev: NetDevice, skb: Skb): void {
    if (this.#length === this.#devices.length) this.#grow();
    const at = (this.#head + this.#length) & (this.#devices.length - 1);
    this.#devices[at] = dev;
    this.#packets[at] = skb;
    this.#length++;
  }

  /**
   * Gives a program its turn once no frame is on its way any more: what a kernel has to do comes first (softirqs before
   * processes), and a program then finds all that has come.
   */
  afterFrames(turn: () => void): void {
    this.recording?.unrepeatable();
    this.#turns.push(turn);
  }

  /** Delivers frames until none is left. Does nothing inside of itself: the outer turn goes on. */
  run(): void {
    if (this.#running) return;
    this.#running = true;
    try {
      let budget = STORM_LIMIT;
      for (;;) {
        if (this.#length === 0) {
          const turn = this.#turns.shift();
          if (turn === undefined) break;
          turn();
          continue;
        }
        const at = this.#head;
        const dev = this.#devices[at] as NetDevice;
        const skb = this.#packets[at] as Skb;
        this.#devices[at] = undefined;
        this.#packets[at] = undefined;
        this.#head = (at + 1) & (this.#devices.length - 1);
        this.#length--;
        if (budget-- > 0) {
          netifReceive(dev, skb);
          continue;
        }
        // The drops so far are of the storm's making: what counts is the storm.
        if (budget === -1) this.#drops = [];
        this.drop(skb, dev.netns, "PACKET_STORM", dev, "the same frames circle without end");
      }
    } finally {
      this.#running = false;
    }
  }

  /** Hands a frame to the stack at once, as a bridge does with frames for itself. */
  receive(dev: NetDevice, skb: Skb): void {
    netifReceive(dev, skb);
  }

  /** Ends a packet. */
  drop(
    skb: Skb,
    netns: NetNamespace,
    reason: DropReason,
    dev: NetDevice | undefined,
    detail = "",
    rule?: FilterRule,
  ): void {
    this.recording?.unrepeatable();
    // NF_DROP is -EPERM to whoever sent the packet (net/netfilter/core.c nf_hook_slow).
    if (reason === "NETFILTER_DROP" && skb.nfBridge === undefined) skb.sendErrno ??= "EPERM";
    skb.trace?.steps.push({
      kind: "drop",
      netns,
      packet: skb.number,
      reason,
      dev,
      detail,
      rule,
    });
    this.#tracepoints?.kfreeSkb(skb, netns, reason, dev, detail, rule);
    if (this.#drops.length < 64) this.#drops.push({ reason, netns, dev, detail, rule, skb });
  }

  /** The drops since the last call, at most 64. */
  takeDrops(): Drop[] {
    const drops = this.#drops;
    if (drops.length > 0) this.#drops = [];
    return drops;
  }

  #grow(): void {
    const size = this.#devices.length;
    const devices: (NetDevice | undefined)[] = new Array(size * 2).fill(undefined);
    const packets: (Skb | undefined)[] = new Array(size * 2).fill(undefined);
    for (let i = 0; i < size; i++) {
      const at = (this.#head + i) & (size - 1);
      devices[i] = this.#devices[at];
      packets[i] = this.#packets[at];
    }
    this.#devices = devices;
    this.#packets = packets;
    this.#head = 0;
  }
}
