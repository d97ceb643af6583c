import { RouteLayer, type SharedRoute } from "@cnilab/linux";
import { familyOf, type IpAddress, type IpFamily, type Prefix, tryParseIp } from "@cnilab/net";
import type { CiliumNode } from "../api/v2/node.ts";
import { nodePodCidrs } from "../ipam/node-pod-cidrs.ts";
import { CiliumNodes } from "./cilium-nodes.ts";
import type { ClusterCilium } from "./cluster-cilium.ts";

/** A node as routes see it. */
export interface RoutedNode {
  readonly name: string;
  /** Other nodes reach it by these, at most one of each family. */
  readonly addresses: readonly IpAddress[];
  readonly podCidrs: readonly Prefix[];
}

/** Of one state of all nodes. */
export interface NodeRouteLayers {
  readonly nodes: ReadonlyMap<string, RoutedNode>;
  /** Routes to all nodes' ranges: with native routing by the nodes, with tunnels by each node's own cilium_host. */
  readonly layers: Readonly<Record<IpFamily, RouteLayer>>;
}

/** Ranges of all nodes as routes, worked out once for all of them, when all that changes in one moment has changed. */
export class ClusterNodeRoutes {
  readonly #cluster: ClusterCilium;
  readonly #nodes: CiliumNodes;
  readonly #listeners = new Set<(layers: NodeRouteLayers) => void>();
  #text = "";
  #now: NodeRouteLayers | undefined;
  #isDue = false;
  #listens = false;

  constructor(cluster: ClusterCilium) {
    this.#cluster = cluster;
    this.#nodes = cluster.part(CiliumNodes);
  }

  /** Tells what there is, soon, and each change. @returns what ends that */
  listen(listener: (layers: NodeRouteLayers) => void): () => void {
    this.#listeners.add(listener);
    if (!this.#listens) {
      this.#listens = true;
      this.#nodes.listen(() => this.#schedule());
    }
    if (this.#now === undefined) this.#schedule();
    else listener(this.#now);
    return () => this.#listeners.delete(listener);
  }

  #schedule(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#cluster.clock.schedule(0, () => {
      this.#isDue = false;
      this.#update();
    });
  }

  #update(): void {
    const nodes = [...this.#nodes.all.values()].map(routedNode);
    const text = nodes.map((n) => `${n.name} ${n.addresses.map(addressKey)} ${n.podCidrs}`).join();
    if (this.#now !== undefined && text === this.#text) return;
    this.#text = text;
    const { mode } = this.#cluster.config.routing;
    const layer = (family: IpFamily) => new RouteLayer(routesOf(nodes, family, mode === "native"));
    this.#now = {
      nodes: new Map(nodes.map((node) => [node.name, node])),
      layers: { 4: layer(4), 6: layer(6) },
    };
    for (const listener of this.#listeners) listener(this.#now);
  }
}

function* routesOf(
  nodes: readonly RoutedNode[],
  family: IpFamily,
  direct: boolean,
): Iterable<SharedRoute> {
  for (const { addresses, podCidrs } of nodes) {
    const address = addresses.find((a) => familyOf(a) === family);
    for (const prefix of podCidrs) {
      if (prefix.family !== family) continue;
      if (!direct) yield { prefix, gateway: undefined, onlink: false };
      else if (address !== undefined) yield { prefix, gateway: address, onlink: false };
    }
  }
}

function routedNode(node: CiliumNode): RoutedNode {
  const internal = (node.spec.addresses ?? [])
    .filter(({ type }) => type === "InternalIP")
    .map(({ ip }) => tryParseIp(ip ?? ""))
    .filter((a) => a !== undefined);
  const first = ([4, 6] as const).flatMap((f) =>
    internal.filter((a) => familyOf(a) === f).slice(0, 1),
  );
  return { name: node.metadata.name, addresses: first, podCidrs: nodePodCidrs(node) };
}

function addressKey(address: IpAddress): number | string {
  return typeof address === "number" ? address : `6:${address.ordinal}`;
}
