import type { KubeObject } from "@cnilab/core";
import { CalcGraph, CalcObjects, policyIdText } from "../../src/index.ts";
import type { GoldenRun } from "./golden-run.ts";

/** What a line of `felix-scenarios.ndjson` says of the calculation graph. */
export interface CalcVector {
  readonly node: string;
  readonly resources: readonly KubeObject[];
  readonly policies: Readonly<Record<string, unknown>>;
  readonly endpoints: Readonly<Record<string, unknown>>;
  readonly profiles: Readonly<Record<string, unknown>>;
  readonly ipsets: Readonly<
    Record<string, { readonly type: string; readonly members: readonly string[] | null }>
  >;
}

/** What the calculation graph tells a node of these objects, as the real one does. */
export const felixCalc: GoldenRun<CalcVector> = ({ node: name, resources, ...want }) => {
  const graph = new CalcGraph();
  const objects = new CalcObjects(graph);
  const node = graph.node(name);
  for (const resource of resources) objects.update(resource);
  node.take();
  const got = {
    policies: Object.fromEntries(
      [...node.policies.values()].map(({ id, policy }) => [policyIdText(id), policy]),
    ),
    endpoints: {
      ...Object.fromEntries(
        [...node.workloads].map(([id, endpoint]) => [
          id.replace(/^k8s\/(.*)\/eth0$/, "$1"),
          endpoint,
        ]),
      ),
      ...Object.fromEntries([...node.hosts].map(([id, endpoint]) => [`hep:${id}`, endpoint])),
    },
    profiles: Object.fromEntries(node.profiles),
    ipsets: Object.fromEntries(
      [...node.ipSets].map(([id, { type, members }]) => [
        id,
        { type, members: [...members].sort() },
      ]),
    ),
  };
  const differences = (["policies", "endpoints", "profiles", "ipsets"] as const)
    .filter((field) => protojson(want[field]) !== protojson(got[field]))
    .map((field) => `${field}: want ${protojson(want[field])}\ngot ${protojson(got[field])}`);
  return differences.length === 0 ? undefined : differences.join("\n");
};

/** Messages whose fields the protocol gives a capital. */
const CAPITALISED: ReadonlySet<string> = new Set(["qosControls", "skipRedir"]);

/** JSON with keys in order, and as protojson without empty lists. */
function protojson(value: unknown): string {
  return JSON.stringify(value, (key, each) => {
    if (typeof each !== "object" || each === null || Array.isArray(each)) return each;
    if (CAPITALISED.has(key)) return capitalised(each);
    return Object.fromEntries(
      Object.entries(each)
        .filter(([, v]) => v !== null && !(Array.isArray(v) && v.length === 0) && v !== 0)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  });
}

/** protojson writes a number of 64 bits as a text. */
function capitalised(message: object): unknown {
  return Object.fromEntries(
    Object.entries(message)
      .map(([name, value]) => [
        (name[0] as string).toUpperCase() + name.slice(1),
        typeof value === "number" ? String(value) : value,
      ])
      .sort(([a], [b]) => ((a as string) < (b as string) ? -1 : 1)),
  );
}
