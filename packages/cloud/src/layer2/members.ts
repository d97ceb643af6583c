import type { ClusterContext, Timer } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";

/** Members look at each other so often (memberlist `DefaultLANConfig` ProbeInterval). */
const PROBE_INTERVAL_MS = 1000;
/** What a member may be silent for: a probe's interval, and suspicion for four of them (`SuspicionMult`). */
const SILENCE_MS = 5000;

/**
 * The speakers' list of members. The real ones gossip (hashicorp/memberlist); here a machine that is switched off is missed by
 * all of them after the time that gossip takes at best, and one that is back is there with the next look.
 */
export class Members {
  readonly #cluster: ClusterContext<Kernel>;
  readonly #changed: () => void;
  /** By node: its machine, and since when it is missing. */
  readonly #seen = new Map<
    string,
    { readonly machine: Kernel; missingSince: number | undefined }
  >();
  #timer: Timer | undefined;

  constructor(cluster: ClusterContext<Kernel>, changed: () => void) {
    this.#cluster = cluster;
    this.#changed = changed;
  }

  start(): void {
    if (this.#timer === undefined) this.#look();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Machines of the nodes that are members. */
  get machines(): ReadonlyMap<string, Kernel> {
    return new Map([...this.#seen].map(([name, { machine }]) => [name, machine]));
  }

  #look(): void {
    if (this.#update()) this.#changed();
    this.#timer = this.#cluster.clock.schedule(PROBE_INTERVAL_MS, () => this.#look(), {
      background: true,
    });
  }

  /** Whether somebody came or is given up. */
  #update(): boolean {
    const { now } = this.#cluster.clock;
    let changed = false;
    for (const node of this.#cluster.api.list("Node")) {
      const { name } = node.metadata;
      const machine = this.#cluster.machine(name);
      const known = this.#seen.get(name);
      if (machine === undefined || known?.machine === machine) continue;
      this.#seen.set(name, { machine, missingSince: undefined });
      changed = true;
    }
    for (const [name, member] of this.#seen) {
      if (this.#cluster.machine(name) === member.machine) {
        member.missingSince = undefined;
        continue;
      }
      member.missingSince ??= now;
      if (now - member.missingSince < SILENCE_MS) continue;
      this.#seen.delete(name);
      changed = true;
    }
    return changed;
  }

  /** Looks at once, where a node may just have come. */
  refresh(): void {
    if (this.#update()) this.#changed();
  }
}
