/// <reference types="node" />
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { KubeObject, Protocol } from "@cnilab/core";
import { parseIp } from "@cnilab/net";
import {
  evaluate,
  outsideEndpoint,
  PolicyAnalysis,
  type PolicyEndpoint,
  policyEndpoints,
  readPolicies,
} from "@cnilab/network-policy";
import type { VectorCase } from "../../../../tools/vector-suite.ts";

interface Cluster {
  readonly endpoints: readonly string[];
  readonly objects: readonly KubeObject[];
}

interface Step {
  readonly cluster: string;
  readonly policies: readonly KubeObject[];
  readonly probes: Readonly<Record<string, number>>;
  readonly tables: readonly (readonly string[])[];
}

interface Case {
  readonly id: string;
  readonly steps: readonly Step[];
}

/** Truth tables on which other implementations agree; see README.md in the folder of the vectors. */
export async function* runSuite(folder: string): AsyncIterable<VectorCase> {
  const clusters = JSON.parse(readFileSync(join(folder, "clusters.json"), "utf8")) as Record<
    string,
    Cluster
  >;
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".ndjson")) continue;
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      if (line.trim() === "") continue;
      const { id, steps } = JSON.parse(line) as Case;
      const wrong = steps.flatMap((step, i) =>
        differences(step, clusters[step.cluster] as Cluster).map((text) => `step ${i}: ${text}`),
      );
      yield wrong.length === 0
        ? { name: id, outcome: "passed" }
        : { name: id, outcome: "failed", detail: wrong.slice(0, 10).join("\n") };
    }
  }
}

/** Cells in which the analyser, or the evaluation of the single flow, says something else. */
function differences(step: Step, cluster: Cluster): readonly string[] {
  const endpoints = endpointsOf(cluster);
  const policies = readPolicies(step.policies);
  const analysis = new PolicyAnalysis(policies, endpoints);
  const wrong: string[] = [];
  for (const [probe, table] of Object.entries(step.probes)) {
    const [protocol, port] = probe.split("/") as [Protocol, string];
    (step.tables[table] as readonly string[]).forEach((row, r) => {
      [...row].forEach((wanted, c) => {
        if (wanted === "-") return;
        const analysed = analysis.verdict(r, c, protocol, Number(port));
        const flow = {
          source: endpoints[r] as PolicyEndpoint,
          destination: endpoints[c] as PolicyEndpoint,
          protocol,
          port: Number(port),
        };
        const { egress, ingress } = evaluate(policies, flow);
        const found = [
          ["analyser", analysed],
          ["evaluation", { egress: egress.allowed, ingress: ingress.allowed }],
        ] as const;
        for (const [who, verdict] of found) {
          if (cell(verdict) === wanted) continue;
          wrong.push(
            `${flow.source.name} -> ${flow.destination.name} ${probe}: ${who} says ${cell(verdict)}, expected ${wanted}`,
          );
        }
      });
    });
  }
  return wrong;
}

function cell({ egress, ingress }: { egress: boolean; ingress: boolean }): string {
  if (egress) return ingress ? "." : "i";
  return ingress ? "e" : "x";
}

function endpointsOf({ endpoints, objects }: Cluster): readonly PolicyEndpoint[] {
  const family = objects.some((o) => JSON.stringify(o).includes('"podIP":"fd')) ? 6 : 4;
  const known = policyEndpoints(objects, family);
  const byName = new Map(known.map((each) => [each.name, each]));
  const byAddress = new Map(known.map((each) => [String(each.address), each]));
  return endpoints.map((name) => {
    if (name.includes("/")) return byName.get(name) as PolicyEndpoint;
    const address = parseIp(name);
    return byAddress.get(String(address)) ?? outsideEndpoint(address);
  });
}
