import type { NodeContext } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { CalcFeed } from "../calc/calc-feed.ts";
import type { NodeCalc } from "../calc/node-calc.ts";
import { felixSpecs } from "../routing/felix-settings.ts";
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

  constructor(environment: FelixConfigurationSpec = {}) {
    this.environment = environment;
  }

  /** Policies of the cluster; made when the first node starts. */
  attach({ api, clock, name }: NodeContext<Kernel>): NodeCalc {
    this.#feed ??= new CalcFeed({
      suppressOverlaps: this.#specs(api, name).nftablesMode !== "Disabled",
      sourceSpoofing: usesSourceSpoofing(this.#specs(api, name)),
    });
    return this.#feed.attach(name, { api, clock });
  }

  /** Objects that Felix cannot use, and why. */
  get problems(): ReadonlyMap<string, string> {
    return this.#feed?.problems ?? new Map();
  }

  #specs(api: NodeContext<Kernel>["api"], name: string): FelixConfigurationSpec {
    return Object.assign({}, ...felixSpecs(api, name), this.environment);
  }
}
