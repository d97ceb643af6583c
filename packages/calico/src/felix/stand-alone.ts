import type { Kind, Kinds, KubeObject, Snapshot } from "@cnilab/core";
import { kindOf, objectKey } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { CalcGraph } from "../calc/calc-graph.ts";
import { CalcObjects } from "../calc/calc-objects.ts";
import type { NodeCalc } from "../calc/node-calc.ts";
import { ClusterFelix } from "./cluster-felix.ts";
import { usesSourceSpoofing } from "./felix-config.ts";
import { wantedIpSets } from "./ip-sets.ts";
import { NftablesDataplane } from "./nftables-dataplane.ts";
import { NodeDataplanes, type NodeProgram } from "./node-dataplanes.ts";
import { restoreInput } from "./restore-input.ts";
import type { WantedTables } from "./tables.ts";

interface NodeCalculation {
  readonly objects: CalcObjects;
  readonly node: NodeCalc;
}

/** Felix's policy half for one node and exactly these objects, with no cluster and no clock around it. */
export class StandAloneFelix {
  readonly #netns: NetNamespace;
  readonly #nodeName: string;
  readonly #cluster: ClusterFelix;
  readonly #dataplanes: NodeDataplanes;
  readonly #objects = new Map<string, KubeObject>();
  readonly #written = new Map<IpFamily, string>();
  readonly #tables = new Map<IpFamily, WantedTables>();
  readonly #nftables = new Map<IpFamily, NftablesDataplane>();
  #calc: NodeCalculation | undefined;
  #version = 0;

  /** @param environment stronger than FelixConfigurations among the objects */
  constructor(netns: NetNamespace, nodeName: string, environment: FelixConfigurationSpec = {}) {
    this.#netns = netns;
    this.#nodeName = nodeName;
    this.#cluster = new ClusterFelix(environment);
    this.#dataplanes = new NodeDataplanes(netns, this.#cluster);
  }

  /** @param objects all that the API server holds */
  apply(objects: readonly KubeObject[]): void {
    this.#version++;
    const now = new Map(objects.map((each) => [`${kindOf(each)} ${objectKey(each)}`, each]));
    const specs = this.#specs(objects);
    const calc = this.#start(specs);
    for (const [key, object] of this.#objects) if (!now.has(key)) calc.objects.delete(object);
    for (const object of now.values()) calc.objects.update(object);
    this.#objects.clear();
    for (const [key, object] of now) this.#objects.set(key, object);
    calc.node.take();
    const facts = this.#cluster.facts.at({
      nodes: this.#snapshot("Node"),
      pools: this.#snapshot("IPPool.projectcalico.org"),
      bgp: this.#snapshot("BGPConfiguration.projectcalico.org"),
    });
    const families: IpFamily[] = [4, 6];
    this.#program({ name: this.#nodeName, policy: calc.node, facts, specs, families });
  }

  /** Objects that Felix cannot use, and why. */
  get problems(): ReadonlyMap<string, string> {
    return this.#calc?.objects.problems ?? new Map();
  }

  /** What it wrote the last time: to iptables-restore, or to nft. */
  written(family: IpFamily): string {
    return this.#written.get(family) ?? "";
  }

  #start(specs: readonly FelixConfigurationSpec[]): NodeCalculation {
    if (this.#calc === undefined) {
      const spec: FelixConfigurationSpec = Object.assign({}, ...specs, this.#cluster.environment);
      const graph = new CalcGraph({
        suppressOverlaps: spec.nftablesMode !== "Disabled",
        sourceSpoofing: usesSourceSpoofing(spec),
      });
      const objects = new CalcObjects(graph, { impliedServiceAccounts: true });
      this.#calc = { objects, node: graph.node(this.#nodeName) };
    }
    return this.#calc;
  }

  #program(program: NodeProgram): void {
    const input = this.#dataplanes.input(program);
    const { backend } = input.config.rules;
    for (const family of program.families) {
      const tables = this.#cluster.renderer.render(input, family);
      if (backend === "iptables") {
        const append = input.config.chainInsertMode === "append";
        this.#written.set(family, restoreInput(this.#tables.get(family), tables, append));
        this.#tables.set(family, tables);
      } else {
        const dataplane = this.#nftables.get(family) ?? new NftablesDataplane(this.#netns, family);
        this.#nftables.set(family, dataplane);
        const sets = wantedIpSets(input, family);
        this.#written.set(family, dataplane.changes(tables, sets));
        dataplane.remember(tables, sets);
      }
    }
    this.#dataplanes.program(program);
  }

  /** `default`, and what is for the node alone. */
  #specs(objects: readonly KubeObject[]): FelixConfigurationSpec[] {
    const all = objects.filter((o) => kindOf(o) === "FelixConfiguration.projectcalico.org");
    return ["default", `node.${this.#nodeName}`].flatMap(
      (name) =>
        (
          all.find(({ metadata }) => metadata.name === name) as
            | Kinds["FelixConfiguration.projectcalico.org"]
            | undefined
        )?.spec ?? [],
    );
  }

  #snapshot<K extends Kind>(kind: K): Snapshot<Kinds[K]> {
    const own = [...this.#objects.values()].filter((o) => kindOf(o) === kind) as Kinds[K][];
    return { version: this.#version, objects: new Map(own.map((o) => [objectKey(o), o])) };
  }
}
