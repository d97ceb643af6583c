import { type KubeObject, objectKey, type Pod } from "@cnilab/core";
import { type NetNamespace, RouteLayer, type SharedRoute } from "@cnilab/linux";
import { formatIp, type IpAddress, type IpFamily, Prefix, tryParseIp } from "@cnilab/net";
import type { ClusterNode } from "../cluster-node.ts";

/** A pod with an address that its node's ranges do not hold. */
interface Stray {
  readonly address: IpAddress;
  readonly node: ClusterNode;
}

/** Number of the routing table for addresses out of place, and priority of the rule that leads there. */
const TABLE = 100;
const PRIORITY = 100;

/**
 * Addresses that pods bring along from where they were written down. One that does not lie in its node's
 * range is routed to the node by every other node, ahead of what the CNI routes: by a table of its own,
 * which all nodes share.
 */
export class KeptAddresses {
  readonly #nodes: ReadonlyMap<string, ClusterNode>;
  readonly #others: () => Iterable<NetNamespace>;
  readonly #byPod = new Map<string, readonly IpAddress[]>();
  readonly #strays = new Map<string, readonly Stray[]>();
  readonly #layers = new Map<IpFamily, RouteLayer>();
  #routesDue = false;

  /** @param others machines beside the nodes that are to reach pods */
  constructor(nodes: ReadonlyMap<string, ClusterNode>, others: () => Iterable<NetNamespace>) {
    this.#nodes = nodes;
    this.#others = others;
  }

  /** Addresses that the pod is to have. */
  of(podKey: string): readonly IpAddress[] | undefined {
    return this.#byPod.get(podKey);
  }

  get warnings(): string[] {
    const all = [...this.#strays.values()].flat();
    const [first] = all;
    if (first === undefined) return [];
    const more = all.length > 1 ? ` and ${all.length - 1} more` : "";
    return [
      `pod address ${formatIp(first.address)}${more} outside of the node's range: kept, and routed to the node`,
    ];
  }

  /** Takes note of pods that say both where they run and what address they have. */
  note(objects: readonly KubeObject[]): void {
    for (const object of objects) {
      if (object.kind !== "Pod") continue;
      const { spec, status } = object as Pod;
      if (spec.nodeName === undefined || spec.hostNetwork === true) continue;
      const texts = status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP ? [status.podIP] : []);
      const addresses = texts.map(tryParseIp).filter((a) => a !== undefined);
      if (addresses.length > 0) this.#byPod.set(keyOf(object), addresses);
    }
  }

  attached(pod: Pod, node: ClusterNode): void {
    const key = objectKey(pod);
    const addresses = this.#byPod.get(key);
    if (addresses === undefined) return;
    const strays = addresses
      .filter((address) => !node.holds(address))
      .map((address) => ({ address, node }));
    if (strays.length === 0) return;
    this.#strays.set(key, strays);
    this.#scheduleRoutes(node);
  }

  /** The pod's end is the end of its claim. */
  detached(pod: Pod): void {
    const key = objectKey(pod);
    this.#byPod.delete(key);
    const strays = this.#strays.get(key);
    if (strays === undefined) return;
    this.#strays.delete(key);
    this.#scheduleRoutes((strays[0] as Stray).node);
  }

  nodeAdded(node: ClusterNode): void {
    if (this.#strays.size > 0) this.#scheduleRoutes(node);
  }

  /** A machine beside the nodes is new. */
  machineAdded(netns: NetNamespace): void {
    for (const [family, layer] of this.#layers) install(netns, family, layer, []);
  }

  /** Once for all pods of one moment. */
  #scheduleRoutes({ clock }: ClusterNode): void {
    if (this.#routesDue) return;
    this.#routesDue = true;
    clock.schedule(0, () => {
      this.#routesDue = false;
      for (const family of [4, 6] as const) this.#route(family);
    });
  }

  #route(family: IpFamily): void {
    const routes: SharedRoute[] = [];
    const own = new Map<ClusterNode, Prefix[]>();
    for (const { address, node } of [...this.#strays.values()].flat()) {
      if ((typeof address === "number" ? 4 : 6) !== family) continue;
      const gateway = node.addresses.find((a) => (typeof a === "number" ? 4 : 6) === family);
      if (gateway === undefined) continue;
      const prefix = Prefix.host(address);
      routes.push({ prefix, gateway, onlink: true });
      const there = own.get(node);
      if (there === undefined) own.set(node, [prefix]);
      else there.push(prefix);
    }
    const layer = routes.length === 0 ? undefined : new RouteLayer(routes);
    if (layer === undefined) this.#layers.delete(family);
    else this.#layers.set(family, layer);
    for (const netns of this.#others()) install(netns, family, layer, []);
    for (const node of this.#nodes.values()) {
      // Windows has one routing table, which is the CNI's.
      if (node.machine.os !== "linux") continue;
      install(node.machine.initNs, family, layer, own.get(node) ?? []);
    }
  }
}

/** `ip rule add priority 100 lookup 100`, and the table's routes but those to the node's own pods. */
function install(
  netns: NetNamespace,
  family: IpFamily,
  layer: RouteLayer | undefined,
  own: readonly Prefix[],
): void {
  const fib = netns.fib(family);
  if (layer === undefined && fib.findTable(TABLE) === undefined) return;
  fib.table(TABLE).setLayer(netns.device("eth0"), layer, "static", own);
  if (layer !== undefined && !fib.rules.some(({ priority }) => priority === PRIORITY)) {
    fib.addRule({ priority: PRIORITY, action: { table: TABLE } });
  }
  netns.network.touch();
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? "default"}/${metadata.name}`;
}
