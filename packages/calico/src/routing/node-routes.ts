import {
  KernelError,
  type NetDevice,
  type NetNamespace,
  type RouteLayer,
  type RouteProtocol,
  type RouteSpec,
  type Vxlan,
} from "@cnilab/linux";
import type { IpFamily, Prefix } from "@cnilab/net";
import type { L3Routes } from "../calc/l3-routes/l3-routes.ts";
import { type RouteLayers, type VtepLayers, vtepLayers } from "./route-layers.ts";

/** Felix's routes of one family in a node's main table. */
export class NodeRoutes {
  readonly #netns: NetNamespace;
  readonly #family: IpFamily;
  readonly #node: string;
  readonly #layers = new Map<string, AttachedLayer>();
  #blackholes: readonly Prefix[] = [];
  #vteps: { readonly dev: Vxlan; readonly layers: VtepLayers } | undefined;

  constructor(netns: NetNamespace, family: IpFamily, node: string) {
    this.#netns = netns;
    this.#family = family;
    this.#node = node;
  }

  /** @param protocol of all but VXLAN's, which are known by their device */
  apply(
    routes: L3Routes,
    layers: RouteLayers,
    devices: {
      readonly vxlan: NetDevice | undefined;
      readonly ipip: NetDevice | undefined;
      readonly parent: NetDevice | undefined;
    },
    protocol: RouteProtocol,
  ): void {
    const own = routes.routesOf(this.#node).map((r) => r.dst);
    this.#attach("vxlan", devices.vxlan, layers.vxlan, "boot", own);
    this.#attach("ipip", devices.ipip, layers.ipip, protocol, own);
    this.#attach("direct", devices.parent, layers.direct, protocol, own);
  }

  #attach(
    way: string,
    dev: NetDevice | undefined,
    layer: RouteLayer,
    protocol: RouteProtocol,
    own: readonly Prefix[],
  ): void {
    const before = this.#layers.get(way);
    const usable = dev?.up === true && layer.size > 0;
    const without = own.filter((prefix) => layer.get(prefix) !== undefined);
    const now = usable ? { dev, layer, protocol, mtu: mtuOf(way, dev), without } : undefined;
    if (before !== undefined && now !== undefined && this.#same(before, now)) return;
    const { main } = this.#netns.fib(this.#family);
    if (before !== undefined && (before.dev !== now?.dev || before.protocol !== now.protocol)) {
      main.setLayer(before.dev, undefined, before.protocol);
    }
    if (now === undefined) this.#layers.delete(way);
    else {
      main.setLayer(now.dev, layer, protocol, without, now.mtu);
      this.#layers.set(way, now);
    }
    this.#netns.network.touch();
  }

  /** Whether nothing is to be done, and the kernel still has it so. */
  #same(before: AttachedLayer, now: AttachedLayer): boolean {
    if (before.layer !== now.layer || before.dev !== now.dev || before.mtu !== now.mtu)
      return false;
    if (before.protocol !== now.protocol || before.without.length !== now.without.length)
      return false;
    const there = this.#netns.fib(this.#family).main.layerOf(now.dev, now.protocol);
    return there?.layer === now.layer && there.without.size === now.without.length;
  }

  /** `blackhole BLOCK proto 80` for each. */
  setBlackholes(wanted: readonly Prefix[], protocol: RouteProtocol): void {
    for (const dst of this.#blackholes) {
      if (!wanted.some((p) => p.equals(dst))) this.#delete({ dst, type: "blackhole", protocol });
    }
    for (const dst of wanted) {
      const there = this.#netns.fib(this.#family).routesTo(dst);
      if (there.some((r) => r.type === "blackhole" && r.protocol === protocol)) continue;
      this.#netns.addRoute({ dst, type: "blackhole", protocol }, "replace");
    }
    this.#blackholes = wanted;
  }

  /** Where the other tunnels' ends are. */
  setVteps(routes: L3Routes, dev: Vxlan | undefined): void {
    if (dev === undefined) {
      this.#vteps = undefined;
      return;
    }
    const layers = vtepLayers(routes, this.#family);
    const before = this.#vteps;
    const neighbours = this.#netns.neighboursOf(dev);
    const own = dev
      .addressesOf(this.#family)
      .map((a) => a.address)
      .filter((a) => layers.neighbours.has(a));
    const ownMacs = layers.fdb.has(dev.mac) ? [dev.mac] : [];
    const intact =
      dev.fdbLayer === layers.fdb &&
      dev.withoutFromFdbLayer.size === ownMacs.length &&
      neighbours.layer === layers.neighbours &&
      neighbours.withoutFromLayer.size === own.length;
    if (before?.dev === dev && before.layers === layers && intact) return;
    this.#vteps = { dev, layers };
    neighbours.setLayer(layers.neighbours, own);
    dev.setFdbLayer(layers.fdb, ownMacs);
  }

  #delete(spec: RouteSpec): void {
    try {
      this.#netns.deleteRoute(spec);
    } catch (error) {
      // Somebody else was there before.
      if (!(error instanceof KernelError) || error.errno !== "ESRCH") throw error;
    }
  }
}

interface AttachedLayer {
  readonly dev: NetDevice;
  readonly layer: RouteLayer;
  readonly protocol: RouteProtocol;
  readonly mtu: number;
  readonly without: readonly Prefix[];
}

/** Routes into a tunnel say how much it carries. */
function mtuOf(way: string, dev: NetDevice): number {
  return way === "direct" ? 0 : dev.mtu;
}
