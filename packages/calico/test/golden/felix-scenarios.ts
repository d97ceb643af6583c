import { CalcGraph, CalcObjects } from "../../src/index.ts";
import { type CalcVector, felixCalc } from "./felix-calc.ts";
import { differentTables, type GoldenTables } from "./felix-chains.ts";
import type { GoldenRun } from "./golden-run.ts";

/** A line of `felix-scenarios.ndjson`. */
interface ScenarioVector extends CalcVector {
  readonly iptables: GoldenTables;
  readonly nftables: GoldenTables;
}

/** What Felix works out from objects, and the chains that it makes of that. */
export const felixScenario: GoldenRun<ScenarioVector> = (vector, folder) => {
  const graph = new CalcGraph();
  const objects = new CalcObjects(graph);
  const node = graph.node(vector.node);
  for (const resource of vector.resources) objects.update(resource);
  node.take();
  const messages = {
    policies: [...node.policies.values()],
    profiles: node.profiles,
    workloads: [...node.workloads.values()],
    hosts: [...node.hosts.values()],
  };
  return (
    felixCalc(vector, folder) ??
    differentTables(vector.iptables, messages, "iptables") ??
    differentTables(vector.nftables, messages, "nftables")
  );
};
