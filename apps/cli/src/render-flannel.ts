import { InputError, type Node } from "@cnilab/core";
import {
  FlanneldError,
  leasesOfNodes,
  type RenderInput,
  readRenderInput,
  renderFlannel,
} from "@cnilab/flannel";
import { show, type ViewName } from "@cnilab/inspect";
import type { ProgramIo } from "./program-io.ts";
import { readSource } from "./read-input.ts";
import { findNode, type RenderFlags, readJson, readObjects } from "./render-input.ts";

/** Outputs by the view that prints them. */
const VIEW_OF: Readonly<Record<string, ViewName>> = {
  iptables: "iptables",
  ip6tables: "ip6tables",
  nftables: "nft",
  links: "links",
  addrs: "addrs",
  routes: "routes",
  neigh: "neigh",
  fdb: "fdb",
};

/** As in kube-flannel.yml. */
const DEFAULT_NET_CONF = { Network: "10.244.0.0/16", Backend: { Type: "vxlan" } };

/** What flanneld alone programs, as the real tools print it. @throws InputError */
export async function renderFlannelNode(io: ProgramIo, flags: RenderFlags): Promise<string> {
  const view = VIEW_OF[flags.output];
  if (view === undefined) {
    const known = Object.keys(VIEW_OF).join(", ");
    throw new InputError(`flannel has no output "${flags.output}"; it has ${known}`, "-o");
  }
  if (flags.then.length > 0) {
    throw new InputError("flannel's input is one state; give its last with -f", "--then");
  }
  const input = (await goldenInput(io, flags)) ?? (await nodesInput(io, flags));
  try {
    return show(view, renderFlannel(input, flags.node).initNs);
  } catch (error) {
    if (!(error instanceof FlanneldError)) throw error;
    throw new InputError(`flanneld gives up: ${error.message}`, flags.node);
  }
}

/** A single file as the golden vectors have it: net-conf.json, leases and all. */
async function goldenInput(
  io: ProgramIo,
  { filename, config }: RenderFlags,
): Promise<RenderInput | undefined> {
  const [path] = filename;
  if (path === undefined || filename.length > 1 || config !== undefined) return undefined;
  if (!path.endsWith(".json")) return undefined;
  const { name, text } = await readSource(io, path);
  return text.includes('"leases"') ? readRenderInput(text, name) : undefined;
}

/** Nodes with the annotations in which flanneld says how to reach them, and net-conf.json. */
async function nodesInput(
  io: ProgramIo,
  { node, filename, config }: RenderFlags,
): Promise<RenderInput> {
  const objects = await readObjects(io, filename);
  const nodes = objects.filter((o): o is Node => o.kind === "Node");
  if (nodes.length === 0) {
    throw new InputError("holds no Node; flanneld reads them, and their annotations", filename[0]);
  }
  findNode(nodes, node);
  const netConf = config === undefined ? DEFAULT_NET_CONF : await readNetConf(io, config);
  const leases = leasesOfNodes(nodes, netConf);
  if (leases.has(node)) return { netConf, leases };
  throw new InputError(
    "has no lease: spec.podCIDR and flannel's annotations, as kubectl get nodes -o yaml prints them",
    `Node ${node}`,
  );
}

async function readNetConf(io: ProgramIo, path: string): Promise<object> {
  const value = await readJson(io, path);
  if (typeof value === "object" && value !== null) return value;
  throw new InputError("is no JSON object, as net-conf.json is", path);
}
