import { cilium } from "@cnilab/cilium";
import { type Cluster, createCluster } from "@cnilab/cluster";
import { InputError, type KubeObject, type Node } from "@cnilab/core";
import { show, type ViewName } from "@cnilab/inspect";
import { familyOf, tryParseIp } from "@cnilab/net";
import { RESOURCES } from "./custom-resources.ts";
import { readModelOptions } from "./model-options.ts";
import type { ProgramIo } from "./program-io.ts";
import { readSource } from "./read-input.ts";
import { findNode, type RenderFlags, readObjects } from "./render-input.ts";

/** Outputs by the view that prints them. */
const VIEW_OF: Readonly<Record<string, ViewName>> = {
  iptables: "iptables",
  ip6tables: "ip6tables",
  ipset: "ipset",
  links: "links",
  addrs: "addrs",
  routes: "routes",
  rules: "rules",
  tc: "tc",
};

/**
 * What cilium-agent programs on a node, as the real tools print it: the nodes of the input with their CiliumNodes, without kube-proxy and whatever else
 * there is in clusters. `--config` is a values.yaml of the chart, or the same as JSON. @throws InputError
 */
export async function renderCilium(io: ProgramIo, flags: RenderFlags): Promise<string> {
  const view = VIEW_OF[flags.output];
  if (view === undefined) {
    const known = Object.keys(VIEW_OF).join(", ");
    throw new InputError(`cilium has no output "${flags.output}"; it has ${known}`, "-o");
  }
  const [first = [], ...more] = await inputsOf(io, flags);
  const nodes = first.filter((o): o is Node => o.kind === "Node");
  if (nodes.length === 0) {
    throw new InputError("holds no Node; the agent reads its own", flags.filename[0]);
  }
  const node = findNode(nodes, flags.node);
  const values = flags.config === undefined ? [] : [await readSource(io, flags.config)];
  const { options, warnings } = readModelOptions(cilium, [], values);
  for (const warning of warnings) io.stderr.write(`cnilab: warning: ${warning}\n`);
  const ipFamilies = familiesOf(node);
  const cluster = createCluster({
    cni: cilium,
    cniOptions: options,
    resources: RESOURCES,
    ...(ipFamilies.length > 0 && { config: { ipFamilies } }),
  });
  for (const objects of [first, ...more]) {
    cluster.apply(objects);
    cluster.settle();
  }
  return show(view, machineOf(cluster, flags.node).initNs);
}

async function inputsOf(io: ProgramIo, { filename, then }: RenderFlags): Promise<KubeObject[][]> {
  const inputs = [await readObjects(io, filename)];
  for (const path of then) inputs.push(await readObjects(io, [path]));
  return inputs;
}

/** As the node has addresses. */
function familiesOf({ status }: Node): (4 | 6)[] {
  const families = (status?.addresses ?? [])
    .filter(({ type }) => type === "InternalIP")
    .map(({ address }) => tryParseIp(address))
    .filter((address) => address !== undefined)
    .map(familyOf);
  return [...new Set(families)];
}

/** @throws InputError where the agent does not come up */
function machineOf({ nodes }: Cluster, name: string) {
  const node = nodes.get(name);
  const problem = node?.agents.map((agent) => agent.problem).find((p) => p !== undefined);
  if (node === undefined || problem !== undefined) {
    throw new InputError(`cilium-agent gives up: ${problem ?? "the node is gone"}`, `Node ${name}`);
  }
  return node.machine;
}
