import type { Kind, NodeContext, PolicyEngine, Timer } from "@cnilab/core";
import { IpsetError, IptablesError, type Kernel, NftablesError } from "@cnilab/linux";
import { BehaviorSubject, combineLatest, type Observable, Subscription } from "rxjs";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import type { NodeCalc } from "../calc/node-calc.ts";
import { felixSpecs } from "../routing/felix-settings.ts";
import { MarkMaskError } from "../rules/mark-bits.ts";
import type { ClusterFacts, FactSources } from "./cluster-facts.ts";
import type { ClusterFelix } from "./cluster-felix.ts";
import { createDefaultTiers } from "./default-tiers.ts";
import { NodeDataplanes } from "./node-dataplanes.ts";

/** Kinds of policies that Felix enforces. */
const ENFORCED: readonly Kind[] = [
  "NetworkPolicy",
  "ClusterNetworkPolicy",
  "NetworkPolicy.projectcalico.org",
  "GlobalNetworkPolicy.projectcalico.org",
];

/**
 * Felix's policy half on one node: what the calculation graph says of the node becomes chains and sets in its kernel. A node that
 * nobody looks at is not programmed until somebody does.
 */
export class Felix implements PolicyEngine {
  readonly name = "felix";
  readonly enforces: readonly Kind[] = ENFORCED;
  readonly #node: NodeContext<Kernel>;
  readonly #cluster: ClusterFelix;
  readonly #ready = new BehaviorSubject(false);
  readonly #dataplane: NodeDataplanes;
  #subscription: Subscription | undefined;
  #timer: Timer | undefined;
  #check: Timer | undefined;
  #calc: NodeCalc | undefined;
  #forget: (() => void) | undefined;
  #sources: FactSources | undefined;
  /** What is programmed, or put off. */
  #facts: ClusterFacts | undefined;
  #specs = "";
  #problem: string | undefined;

  constructor(node: NodeContext<Kernel>, cluster: ClusterFelix) {
    this.#node = node;
    this.#cluster = cluster;
    this.#dataplane = new NodeDataplanes(node.machine.initNs, cluster);
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  start(): void {
    if (this.#subscription !== undefined) return;
    const { api } = this.#node;
    createDefaultTiers(api);
    this.#subscription = new Subscription();
    this.#attach();
    this.#subscription.add(() => {
      this.#forget?.();
      this.#forget = undefined;
    });
    this.#subscription.add(
      combineLatest({
        nodes: api.snapshots("Node"),
        pools: api.snapshots("IPPool.projectcalico.org"),
        bgp: api.snapshots("BGPConfiguration.projectcalico.org"),
        felix: api.snapshots("FelixConfiguration.projectcalico.org"),
      }).subscribe((sources) => {
        this.#sources = sources;
        this.#schedule();
      }),
    );
  }

  /** What it programmed stays. */
  stop(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#check?.cancel();
    this.#check = undefined;
    this.#ready.next(false);
  }

  /** Changes of one moment are programmed together. */
  #schedule(): void {
    this.#timer ??= this.#node.clock.schedule(0, () => {
      this.#timer = undefined;
      this.#sync();
    });
  }

  /** @returns whether there is another calculation graph than before */
  #attach(): boolean {
    const calc = this.#cluster.attach(this.#node);
    if (calc === this.#calc && this.#forget !== undefined) return false;
    this.#forget?.();
    this.#calc = calc;
    this.#forget = calc.onChange(() => this.#schedule());
    return true;
  }

  #sync(): void {
    if (this.#sources === undefined || this.#calc === undefined) return;
    if (this.#attach()) {
      // It has yet to be told of everything, until when all stays as it is.
      this.#schedule();
      return;
    }
    const { api, name, machine } = this.#node;
    const facts = this.#cluster.facts.at(this.#sources);
    const specs = felixSpecs(api, name);
    const text = JSON.stringify(specs);
    const changed = this.#calc.hasChanges;
    if (changed) this.#calc.take();
    if (changed || facts !== this.#facts || text !== this.#specs || !this.#ready.value) {
      this.#facts = facts;
      this.#specs = text;
      const calc = this.#calc;
      machine.initNs.putOff("felix", () => this.#program(calc, facts, specs));
    }
    if (!this.#ready.value && this.#problem === undefined) this.#ready.next(true);
  }

  /** What the kernel refuses keeps the real one from ever being ready: it tries, gives up, starts again, and what was there stays. */
  #program(calc: NodeCalc, facts: ClusterFacts, specs: readonly FelixConfigurationSpec[]): void {
    const { name, config } = this.#node;
    try {
      this.#dataplane.program({ name, policy: calc, facts, specs, families: config.ipFamilies });
      this.#tell(undefined);
      this.#checkLater();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#tell(`Felix cannot program its dataplane: ${error.message.split("\n", 1)[0]}`);
    }
  }

  /** `iptablesPostWriteCheckInterval`, but within the same moment: kube-proxy, who starts with Felix, puts its rules before all others. */
  #checkLater(): void {
    const { clock, machine } = this.#node;
    this.#check ??= clock.schedule(0, () => {
      this.#check = undefined;
      machine.initNs.putOff("felix check", () => this.#dataplane.check());
    });
  }

  #tell(problem: string | undefined): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    // Packets may be under way.
    this.#node.clock.schedule(0, () => {
      const ready = this.#problem === undefined && this.#subscription !== undefined;
      if (this.#ready.value !== ready) this.#ready.next(ready);
    });
  }
}

function isRefusal(error: unknown): error is Error {
  return (
    error instanceof IptablesError ||
    error instanceof NftablesError ||
    error instanceof IpsetError ||
    error instanceof MarkMaskError
  );
}
