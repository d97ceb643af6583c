import { type FlowTuple, hashTuple, reverse, sameTuple } from "./flow-tuple.ts";
import type { VfpDirection } from "./vfp-group.ts";

/** Virtual milliseconds that a flow is remembered after its last packet. Not published; TCP's idle time in Azure's load balancer. */
export const FLOW_TTL_MS = 240_000;

/** What a flow was decided by, and whether that still stands. */
export interface FlowPolicy {
  /** Whether the policy still sends flows to where `translated` goes. */
  serves(translated: FlowTuple): boolean;
}

/** One connection at a port: how its packets look before the port's rules and after. */
export class VfpFlow {
  /** As its first packet came. */
  readonly original: FlowTuple;
  /** As its first packet left. */
  readonly translated: FlowTuple;
  /** The load balancer that chose the destination. */
  readonly policy: FlowPolicy | undefined;
  /** Virtual milliseconds. */
  lastUsed: number;
  packets = 0;

  constructor(
    original: FlowTuple,
    translated: FlowTuple,
    policy: FlowPolicy | undefined,
    now: number,
  ) {
    this.original = original;
    this.translated = translated;
    this.policy = policy;
    this.lastUsed = now;
  }

  get isTranslated(): boolean {
    return !sameTuple(this.original, this.translated);
  }

  isLive(now: number): boolean {
    if (now - this.lastUsed > FLOW_TTL_MS) return false;
    return this.policy === undefined || this.policy.serves(this.translated);
  }
}

/** A flow as one of its packets meets it. */
export interface FoundFlow {
  readonly flow: VfpFlow;
  /** How packets that look like the one asked for look on the other side of the rules. */
  readonly becomes: FlowTuple;
  /** It is an answer. */
  readonly isReply: boolean;
}

interface Entry extends FoundFlow {
  readonly tuple: FlowTuple;
  readonly direction: VfpDirection;
}

/** Entries at which dead ones are swept out for the first time. */
const FIRST_SWEEP = 1024;

/**
 * The flows of a port (NSDI 2017, "VFP: A Virtual Switch Platform for Host SDN in the Public Cloud", §5.3: the
 * unified flow table). A packet of a known flow, or its answer, is changed as the flow says and meets no
 * rules. Here the table holds what address translation and the load balancer decided; encapsulation is decided for each packet.
 */
export class FlowTable {
  readonly #byHash = new Map<number, Entry[]>();
  #entries = 0;
  #sweepAt = FIRST_SWEEP;

  find(direction: VfpDirection, tuple: FlowTuple, now: number): FoundFlow | undefined {
    for (const entry of this.#byHash.get(hashTuple(tuple)) ?? []) {
      if (entry.direction !== direction || !sameTuple(entry.tuple, tuple)) continue;
      return entry.flow.isLive(now) ? entry : undefined;
    }
    return undefined;
  }

  /**
   * @param direction in which its first packet passed the port
   * @param answers in which answers do
   */
  add(flow: VfpFlow, direction: VfpDirection, answers: VfpDirection): void {
    if (this.#entries >= this.#sweepAt) this.#sweep(flow.lastUsed);
    const { original, translated } = flow;
    this.#put({ tuple: original, direction, flow, becomes: translated, isReply: false });
    const tuple = reverse(translated);
    this.#put({ tuple, direction: answers, flow, becomes: reverse(original), isReply: true });
  }

  /** Live flows, each once. */
  *flows(now: number): Iterable<VfpFlow> {
    for (const entries of this.#byHash.values()) {
      for (const { flow, isReply } of entries) if (!isReply && flow.isLive(now)) yield flow;
    }
  }

  clear(): void {
    this.#byHash.clear();
    this.#entries = 0;
  }

  /** Takes the place of an entry for the same packets. */
  #put(entry: Entry): void {
    const hash = hashTuple(entry.tuple);
    const there = this.#byHash.get(hash);
    if (there === undefined) {
      this.#byHash.set(hash, [entry]);
      this.#entries++;
      return;
    }
    const at = there.findIndex(
      (e) => e.direction === entry.direction && sameTuple(e.tuple, entry.tuple),
    );
    if (at >= 0) there[at] = entry;
    else {
      there.push(entry);
      this.#entries++;
    }
  }

  #sweep(now: number): void {
    this.#entries = 0;
    for (const [hash, entries] of this.#byHash) {
      const live = entries.filter(({ flow }) => flow.isLive(now));
      if (live.length === 0) this.#byHash.delete(hash);
      else this.#byHash.set(hash, live);
      this.#entries += live.length;
    }
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#entries);
  }
}
