import { type NetDevice, type NetNamespace, type RouteSpec, RT_SCOPE_LINK } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress, type IpFamily, Prefix } from "@cnilab/net";
import type { AgentPart } from "./agent-part.ts";
import type { CiliumAgent } from "./cilium-agent.ts";
import { ClusterNodeRoutes, type NodeRouteLayers, type RoutedNode } from "./cluster-node-routes.ts";
import { directRoutingDevice } from "./node-config.ts";

const NOBODY_ROUTES =
  "with routingMode=native the network has to route pods' ranges to their nodes, and nodes have no routes to them but the default one: set autoDirectNodeRoutes=true where they share a link";

/** Of all routes that the agent makes: no daemon of the node takes them away then (linux_defaults RTProto). */
export const ROUTE_PROTOCOL = "kernel";

/** `RulePriorityLocalLookup` (pkg/datapath/linux/linux_defaults). */
const LOCAL_RULE_PRIORITY = 100;

/**
 * A node's routes to pods (pkg/datapath/linux/node.go): its own range by cilium_host, unless each pod has a route of its own; other
 * nodes' ranges by cilium_host with tunnels, by the nodes with `autoDirectNodeRoutes`, and else not at all: then the network knows the way.
 */
export class NodeRoutes implements AgentPart {
  readonly name = "node-routes";
  readonly #agent: CiliumAgent;
  #end: (() => void) | undefined;
  #local: readonly Prefix[] = [];
  #warnings: string[] = [];

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  /** Whose pods no route leads to. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  start(): void {
    for (const family of this.#agent.config.families) {
      this.#makeRoomForRules(family);
      this.#routeToRouter(family);
    }
    this.#end = this.#agent.cluster.part(ClusterNodeRoutes).listen((now) => this.#update(now));
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
  }

  /** Rules may come before the node's own addresses (NodeEnsureLocalRoutingRule). */
  #makeRoomForRules(family: IpFamily): void {
    const fib = this.#netns.fib(family);
    const first = fib.rules.find(({ priority }) => priority === 0);
    if (first === undefined) return;
    fib.addRule({ ...first, priority: LOCAL_RULE_PRIORITY });
    fib.deleteRule((rule) => rule === first);
  }

  /** What the ranges' routes go by (pkg/datapath/linux/route/route_linux.go createNexthopRoute). */
  #routeToRouter(family: IpFamily): void {
    const router = this.#agent.router(family);
    if (router === undefined || family === 6) return;
    this.#netns.addRoute(
      {
        dst: Prefix.host(router),
        dev: this.#agent.devices.host,
        scope: RT_SCOPE_LINK,
        protocol: ROUTE_PROTOCOL,
      },
      "replace",
    );
  }

  #update(now: NodeRouteLayers): void {
    const own = now.nodes.get(this.#agent.node.name)?.podCidrs ?? [];
    this.#warnings = [];
    if (!this.#agent.config.routing.endpointRoutes) this.#routeOwn(own);
    for (const family of this.#agent.config.families) this.#routeOthers(now, own, family);
    this.#netns.network.touch();
  }

  #routeOwn(ranges: readonly Prefix[]): void {
    for (const dst of this.#local) {
      if (!ranges.some((r) => r.equals(dst))) {
        this.#netns.fib(dst.family).main.remove(dst, (r) => r.protocol === ROUTE_PROTOCOL);
      }
    }
    for (const dst of ranges) {
      if (this.#local.some((r) => r.equals(dst))) continue;
      this.#netns.addRoute({ dst, ...this.#byHost(dst.family) }, "replace");
    }
    this.#local = ranges;
  }

  /** `via ROUTER dev cilium_host src ROUTER`; the kernel takes no address of its own as next hop in IPv6. */
  #byHost(family: IpFamily): Omit<RouteSpec, "dst"> {
    const router = this.#agent.router(family) as IpAddress;
    const { host: dev } = this.#agent.devices;
    const via = family === 4 ? { via: router } : {};
    return { dev, src: router, protocol: ROUTE_PROTOCOL, ...via };
  }

  #routeOthers(now: NodeRouteLayers, own: readonly Prefix[], family: IpFamily): void {
    const { routing } = this.#agent.config;
    const { main } = this.#netns.fib(family);
    const layer = now.layers[family];
    const { host, mtu } = this.#agent.devices;
    if (routing.mode === "tunnel") {
      const router = this.#agent.router(family) as IpAddress;
      const via = family === 4 ? { via: router } : {};
      main.setLayer(host, layer, ROUTE_PROTOCOL, own, mtu.route, { prefsrc: router, ...via });
      return;
    }
    main.setLayer(host, undefined, ROUTE_PROTOCOL);
    const dev = directRoutingDevice(this.#agent, this.#agent.devices);
    if (dev === undefined) return;
    const direct = routing.autoDirectNodeRoutes;
    const without = direct ? [...own, ...this.#behindRouters(now, dev, family)] : [];
    main.setLayer(dev, direct ? layer : undefined, ROUTE_PROTOCOL, without);
    if (!direct && this.#leavesToDefault(now, family)) this.#warnings.push(NOBODY_ROUTES);
  }

  /** Whether another node's pods are reached, if at all, by the default route. */
  #leavesToDefault({ nodes }: NodeRouteLayers, family: IpFamily): boolean {
    const { main } = this.#netns.fib(family);
    for (const { name, podCidrs } of nodes.values()) {
      if (name === this.#agent.node.name) continue;
      const range = podCidrs.find((r) => r.family === family);
      if (range === undefined) continue;
      return (main.lookupShorter(range.address, 129)?.prefix.length ?? 0) === 0;
    }
    return false;
  }

  /** Ranges of nodes that are not on the same link: a route by them could not be (createDirectRouteSpec). */
  #behindRouters(now: NodeRouteLayers, dev: NetDevice, family: IpFamily): Prefix[] {
    // Nobody else is on the link of a single address.
    const links = dev
      .addressesOf(family)
      .map(({ address, prefixLength }) => new Prefix(address, prefixLength))
      .filter((link) => !link.isHost);
    const found: Prefix[] = [];
    for (const { node, address } of nodesOff(links, now, family)) {
      if (node.name === this.#agent.node.name) continue;
      const gateway = gatewayTo(this.#netns, address);
      if (gateway === undefined) continue;
      found.push(...node.podCidrs);
      if (this.#agent.config.routing.skipUnreachable) continue;
      this.#warnings.push(
        `route to destination ${formatIp(address)} contains gateway ${formatIp(gateway)}, must be directly reachable. Add \`direct-routing-skip-unreachable\` to skip unreachable routes`,
      );
    }
    return found;
  }

  get #netns(): NetNamespace {
    return this.#agent.kernel.initNs;
  }
}

interface OffLinkNode {
  readonly node: RoutedNode;
  readonly address: IpAddress;
}

/** Nodes by the links that they are not on: the same for all whose links are the same. */
const offLinks = new WeakMap<NodeRouteLayers, Map<string, readonly OffLinkNode[]>>();

function nodesOff(
  links: readonly Prefix[],
  now: NodeRouteLayers,
  family: IpFamily,
): readonly OffLinkNode[] {
  let byLinks = offLinks.get(now);
  if (byLinks === undefined) {
    byLinks = new Map();
    offLinks.set(now, byLinks);
  }
  const key = `${family} ${links.join()}`;
  let found = byLinks.get(key);
  if (found === undefined) {
    found = [...now.nodes.values()].flatMap((node) => {
      const address = node.addresses.find((a) => familyOf(a) === family);
      const isOff = address !== undefined && !links.some((link) => link.contains(address));
      return isOff ? [{ node, address }] : [];
    });
    byLinks.set(key, found);
  }
  return found;
}

function gatewayTo(netns: NetNamespace, address: IpAddress): IpAddress | undefined {
  const route = netns.routeGet({ dst: address });
  if (typeof route === "string") return undefined;
  const { gateway } = route.dst;
  return gateway === address ? undefined : gateway;
}
