import type { NodeContext } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { CalcFeed } from "../calc/calc-feed.ts";
import type { CalcGraphOptions } from "../calc/calc-graph.ts";
import type { NodeCalc } from "../calc/node-calc.ts";
import { ClusterFactsReader } from "./cluster-facts.ts";
import { usesSourceSpoofing } from "./felix-config.ts";
import { SharedIptables } from "./iptables-dataplane.ts";
import { SharedNftables } from "./nftables-dataplane.ts";
import { TableRenderer } from "./tables.ts";

/** What Felix does about policies on all nodes of a cluster, as far as it can be done once. */
export class ClusterFelix {
  /** FELIX_… of the DaemonSet. */
  readonly environment: FelixConfigurationSpec;
  readonly renderer: TableRenderer = new TableRenderer();
  readonly iptables: SharedIptables = new SharedIptables();
  readonly nftables: SharedNftables = new SharedNftables();
  readonly facts: ClusterFactsReader = new ClusterFactsReader();
  #feed: CalcFeed | undefined;
  #options: CalcGraphOptions | undefined;

  constructor(environment: FelixConfigurationSpec = {}) {
    this.environment = environment;
  }

  /**
   * Policies of the cluster as a node sees them, made anew where the configuration says how else: the real Felix starts again
   * then. What it looks at is that of the whole cluster, as all nodes share what is made.
   */
  attach({ api, clock, name }: NodeContext<Kernel>): NodeCalc {
    const spec: FelixConfigurationSpec = Object.assign(
      {},
      api.get("FelixConfiguration.projectcalico.org", "default")?.spec,
      this.environment,
    );
    const suppressOverlaps = spec.nftablesMode !== "Disabled";
    const sourceSpoofing = usesSourceSpoofing(spec);
    const before = this.#options;
    if (
      this.#feed === undefined ||
      before?.suppressOverlaps !== suppressOverlaps ||
      before.sourceSpoofing !== sourceSpoofing
    ) {
      this.#feed?.stop();
      this.#options = { suppressOverlaps, sourceSpoofing };
      this.#feed = new CalcFeed(this.#options);
    }
    return this.#feed.attach(name, { api, clock });
  }

  /** Objects that Felix cannot use, and why. */
  get problems(): ReadonlyMap<string, string> {
    return this.#feed?.problems ?? new Map();
  }
}
