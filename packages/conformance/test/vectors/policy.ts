/// <reference types="node" />
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Kind, KubeObject, Protocol } from "@cnilab/core";
import { objectKey } from "@cnilab/core";
import { type IpFamily, parseIp, tryParseIp } from "@cnilab/net";
import {
  evaluate,
  outsideEndpoint,
  PolicyAnalysis,
  type PolicyEndpoint,
  policyEndpoints,
  readPolicies,
} from "@cnilab/network-policy";
import type { VectorCase } from "../../../../tools/vector-suite.ts";
import { walkedCluster } from "../policy/walked-cluster.ts";

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

/** One cell of a truth table. */
interface Cell {
  readonly source: number;
  readonly destination: number;
  readonly protocol: Protocol;
  readonly port: number;
  /** `.`, `e`, `i` or `x`. */
  readonly wanted: string;
}

/** Which probes are walked: all, or one of those that have the same table. */
type Walked = "all" | "one a table";

/** Truth tables on which other implementations agree; see README.md in the folder of the vectors. */
export function runSuite(folder: string): AsyncIterable<VectorCase> {
  return cases(folder, "all");
}

/** The same with fewer walks: the tables are all seen, and each by the evaluation and the analyser as well. */
export function runShortSuite(folder: string): AsyncIterable<VectorCase> {
  return cases(folder, "one a table");
}

async function* cases(folder: string, walked: Walked): AsyncIterable<VectorCase> {
  const clusters = JSON.parse(readFileSync(join(folder, "clusters.json"), "utf8")) as Record<
    string,
    Cluster
  >;
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".ndjson")) continue;
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      if (line.trim() !== "") yield await runCase(JSON.parse(line) as Case, clusters, walked);
    }
  }
}

async function runCase(
  { id, steps }: Case,
  clusters: Readonly<Record<string, Cluster>>,
  walked: Walked,
): Promise<VectorCase> {
  try {
    const analysed = steps.flatMap((step, i) =>
      analyse(step, clusters[step.cluster] as Cluster).map((text) => `step ${i}: ${text}`),
    );
    const wrong = [...analysed, ...(await walk(steps, clusters, walked))];
    if (wrong.length === 0) return { name: id, outcome: "passed" };
    return { name: id, outcome: "failed", detail: wrong.slice(0, 10).join("\n") };
  } catch (error) {
    return { name: id, outcome: "failed", detail: (error as Error).stack ?? String(error) };
  }
}

/** Cells in which the analyser, or the evaluation of the single flow, says something else. */
function analyse(step: Step, cluster: Cluster): readonly string[] {
  const endpoints = endpointsOf(cluster);
  const policies = readPolicies(step.policies);
  const analysis = new PolicyAnalysis(policies, endpoints);
  return cellsOf(step, "all").flatMap((cell) => {
    const flow = {
      source: endpoints[cell.source] as PolicyEndpoint,
      destination: endpoints[cell.destination] as PolicyEndpoint,
      protocol: cell.protocol,
      port: cell.port,
    };
    const { egress, ingress } = evaluate(policies, flow);
    return [
      ...difference(
        cell,
        cluster,
        "analyser",
        analysis.verdict(cell.source, cell.destination, cell.protocol, cell.port),
      ),
      ...difference(cell, cluster, "evaluation", {
        egress: egress.allowed,
        ingress: ingress.allowed,
      }),
    ];
  });
}

/** Cells in which packets fare differently, on Flannel with the agent: one cluster that goes from step to step. */
async function walk(
  steps: readonly Step[],
  clusters: Readonly<Record<string, Cluster>>,
  walked: Walked,
): Promise<readonly string[]> {
  const objectsOf = (step: Step | undefined) =>
    step === undefined ? [] : [...(clusters[step.cluster] as Cluster).objects, ...step.policies];
  const [first] = steps;
  const cluster = await walkedCluster(
    objectsOf(first),
    familyOf(clusters[first?.cluster as string] as Cluster),
  );
  const wrong: string[] = [];
  for (const [i, step] of steps.entries()) {
    if (i > 0) {
      const now = objectsOf(step);
      const there = new Set(now.map(nameOf));
      for (const gone of objectsOf(steps[i - 1])) {
        if (!there.has(nameOf(gone))) cluster.delete(gone.kind as Kind, objectKey(gone));
      }
      cluster.apply(now);
      await cluster.settled();
    }
    const described = clusters[step.cluster] as Cluster;
    for (const cell of cellsOf(step, walked)) {
      if (!canBeWalked(cell, described)) continue;
      cluster.forgetConnections();
      const { egress, ingress, verdict } = cluster.connect({
        from: cluster.endpoint(described.endpoints[cell.source] as string),
        to: cluster.endpoint(described.endpoints[cell.destination] as string),
        protocol: cell.protocol,
        port: cell.port,
      });
      const texts = difference(cell, described, "walk", { egress, ingress });
      if (texts.length === 0 && verdict !== (cell.wanted === "." ? "allowed" : "blocked")) {
        wrong.push(`step ${i}: ${place(cell, described)}: the walk ends as ${verdict}`);
      }
      wrong.push(...texts.map((text) => `step ${i}: ${text}`));
    }
  }
  return wrong;
}

/**
 * Not a node's own row or column, nor pairs of different IP versions. A namespace without the label that the API server
 * gives to each exists in the vectors alone.
 */
function canBeWalked({ source, destination }: Cell, { endpoints, objects }: Cluster): boolean {
  const ends = [endpoints[source], endpoints[destination]] as string[];
  const nodes = objects.filter(({ kind }) => kind === "Node").map((node) => JSON.stringify(node));
  const versions = new Set(ends.map((end) => versionOf(end, objects)));
  return (
    versions.size === 1 &&
    !ends.some((end) => nodes.some((node) => node.includes(`"${end}"`))) &&
    !ends.some((end) => isUnlabelled(end.split("/")[0] as string, objects))
  );
}

function versionOf(end: string, objects: readonly KubeObject[]): IpFamily {
  if (end.includes("/")) return familyOf({ endpoints: [], objects });
  return typeof tryParseIp(end) === "number" ? 4 : 6;
}

function isUnlabelled(namespace: string, objects: readonly KubeObject[]): boolean {
  const found = objects.find((o) => o.kind === "Namespace" && o.metadata.name === namespace);
  return (
    found !== undefined && found.metadata.labels?.["kubernetes.io/metadata.name"] === undefined
  );
}

function cellsOf(step: Step, walked: Walked): readonly Cell[] {
  const probes = Object.entries(step.probes);
  const tables = new Set<number>();
  return probes.flatMap(([probe, table]) => {
    if (walked === "one a table" && tables.has(table)) return [];
    tables.add(table);
    const [protocol, port] = probe.split("/") as [Protocol, string];
    return (step.tables[table] as readonly string[]).flatMap((row, source) =>
      [...row].flatMap((wanted, destination) =>
        wanted === "-" ? [] : [{ source, destination, protocol, port: Number(port), wanted }],
      ),
    );
  });
}

function difference(
  cell: Cell,
  cluster: Cluster,
  who: string,
  { egress, ingress }: { readonly egress: boolean; readonly ingress: boolean },
): readonly string[] {
  const found = egress ? (ingress ? "." : "i") : ingress ? "e" : "x";
  if (found === cell.wanted) return [];
  return [`${place(cell, cluster)}: ${who} says ${found}, expected ${cell.wanted}`];
}

function place({ source, destination, protocol, port }: Cell, { endpoints }: Cluster): string {
  return `${endpoints[source]} -> ${endpoints[destination]} ${protocol}/${port}`;
}

function endpointsOf(cluster: Cluster): readonly PolicyEndpoint[] {
  const known = policyEndpoints(cluster.objects, familyOf(cluster));
  const byName = new Map(known.map((each) => [each.name, each]));
  const byAddress = new Map(known.map((each) => [String(each.address), each]));
  return cluster.endpoints.map((name) => {
    if (name.includes("/")) return byName.get(name) as PolicyEndpoint;
    const address = parseIp(name);
    return byAddress.get(String(address)) ?? outsideEndpoint(address);
  });
}

/** Clusters have pods of one IP version. */
function familyOf({ objects }: Cluster): IpFamily {
  const pod = objects.find(({ kind }) => kind === "Pod") as
    | { status?: { podIP?: string } }
    | undefined;
  return typeof tryParseIp(pod?.status?.podIP ?? "") === "number" ? 4 : 6;
}

function nameOf(object: KubeObject): string {
  return `${object.kind} ${objectKey(object)}`;
}
