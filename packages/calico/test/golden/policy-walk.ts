import type { KubeObject } from "@cnilab/core";
import { CalcGraph, CalcObjects } from "../../src/index.ts";
import type { GoldenRun } from "./golden-run.ts";
import { type Flow, type FlowVerdict, PolicyNode } from "./policy-node.ts";

interface PolicyFlows {
  readonly resources: readonly KubeObject[];
  readonly flows: readonly (Flow & FlowVerdict & { readonly src: string; readonly dst: string })[];
}

/** Each flow as a packet that finds its way through the chains of both dataplanes. */
export const policyWalk: GoldenRun<PolicyFlows> = ({ resources, flows }) => {
  const graph = new CalcGraph();
  const objects = new CalcObjects(graph);
  const calc = graph.node("node-a");
  for (const resource of resources) objects.update(resource);
  calc.take();
  const differences: string[] = [];
  for (const backend of ["iptables", "nftables"] as const) {
    const node = new PolicyNode(calc, backend);
    for (const flow of flows) {
      const { egress, ingress, allowed } = node.verdict(flow);
      if (egress === flow.egress && ingress === flow.ingress && allowed === flow.allowed) continue;
      const { src, dst, proto, dport } = flow;
      differences.push(
        `${backend}: ${src} to ${dst} port ${dport} of protocol ${proto}: wanted ${flow.egress}, ${flow.ingress}, have ${egress}, ${ingress}`,
      );
    }
  }
  return differences.length === 0
    ? undefined
    : [`${differences.length} differ`, ...differences.slice(0, 5)].join("\n");
};
