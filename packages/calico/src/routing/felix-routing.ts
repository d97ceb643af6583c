import type { ApiClient, Clock, HostFiles, Random, Timer } from "@cnilab/core";
import { KernelError, type NetDevice, type NetNamespace, type Vxlan } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import type { L3Routes } from "../calc/l3-routes/l3-routes.ts";
import { NODE_ANNOTATIONS } from "../calc/l3-routes/node-annotations.ts";
import type { NodeFacts } from "../calc/l3-routes/node-facts.ts";
import { macOfVtep } from "../calc/l3-routes/vteps.ts";
import type { ClusterRoutes, RouteSources } from "./cluster-routes.ts";
import {
  clusterRouteProtocol,
  deviceRouteProtocol,
  felixSpecs,
  programsIpip,
  programsNoEncap,
  type RoutingSettings,
  routingSettings,
} from "./felix-settings.ts";
import { type EnabledEncapsulations, hostMtu, MTU_FILE, type Mtus, mtus } from "./mtu.ts";
import { NodeRoutes } from "./node-routes.ts";
import { blackholes, type RouteView, routeLayers } from "./route-layers.ts";
import { annotateNode, type HostAddress } from "./startup.ts";
import {
  cleanUpIpipDevice,
  ensureIpipDevice,
  ensureVxlanDevice,
  removeVxlanDevice,
} from "./tunnel-devices.ts";
import { WireguardTunnel } from "./wireguard-tunnel.ts";
import { WorkloadRoutes } from "./workload-routes.ts";

export interface FelixRoutingEnvironment {
  readonly node: string;
  readonly netns: NetNamespace;
  readonly files: HostFiles;
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  /** Shared by all nodes of a cluster. */
  readonly clusterRoutes: ClusterRoutes;
  /** FELIX_… of the DaemonSet. */
  readonly felixEnvironment: FelixConfigurationSpec;
}

/**
 * One run of Felix's routing half: tunnel devices, routes to other nodes' pods and to the node's own, and what pods' interfaces may
 * carry (the managers of `felix/dataplane/linux`).
 */
export class FelixRouting {
  readonly #env: FelixRoutingEnvironment;
  readonly #parents: ReadonlyMap<IpFamily, HostAddress>;
  readonly #routes: Readonly<Record<IpFamily, NodeRoutes>>;
  readonly #wireguard: Readonly<Record<IpFamily, WireguardTunnel>>;
  #workloads: WorkloadRoutes | undefined;
  #sources: RouteSources | undefined;
  #refresh: Timer | undefined;
  mtus: Mtus = { host: 0, ipip: 0, vxlan: { 4: 0, 6: 0 }, wireguard: { 4: 0, 6: 0 }, pod: 0 };

  constructor(environment: FelixRoutingEnvironment, addresses: readonly HostAddress[]) {
    this.#env = environment;
    const { netns, node, random } = environment;
    this.#parents = new Map(addresses.map((a) => [typeof a.address === "number" ? 4 : 6, a]));
    this.#routes = { 4: new NodeRoutes(netns, 4, node), 6: new NodeRoutes(netns, 6, node) };
    this.#wireguard = {
      4: new WireguardTunnel(netns, node, random.fork("wireguard")),
      6: new WireguardTunnel(netns, node, random.fork("wireguard v6")),
    };
  }

  /** @throws KernelError */
  update(sources: RouteSources): void {
    this.#sources = sources;
    const { api, node, netns, files, clusterRoutes, felixEnvironment } = this.#env;
    const routes = clusterRoutes.at(sources);
    const facts = routes.nodes.get(node);
    if (facts === undefined) return;
    const settings = routingSettings(felixSpecs(api, node), felixEnvironment);
    const on = enabledEncapsulations(routes, settings);
    this.mtus = mtus(hostMtu(netns, settings.mtuIfacePattern), settings, on);
    files.write(MTU_FILE, String(this.mtus.pod));
    for (const family of [4, 6] as const) {
      if (this.#parents.has(family)) this.#updateFamily(family, routes, facts, settings, on);
    }
    this.#startWorkloads(settings);
    this.#refreshLater(settings);
  }

  /** What somebody else has changed is put right (`routeRefreshInterval`). */
  #refreshLater({ routeRefreshInterval }: RoutingSettings): void {
    this.#refresh?.cancel();
    this.#refresh = undefined;
    if (routeRefreshInterval === 0) return;
    const again = () => {
      if (this.#sources === undefined) return;
      this.#workloads?.refresh();
      try {
        this.update(this.#sources);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
      }
    };
    const { clock } = this.#env;
    this.#refresh = clock.schedule(routeRefreshInterval * 1000, again, { background: true });
  }

  #updateFamily(
    family: IpFamily,
    routes: L3Routes,
    facts: NodeFacts,
    settings: RoutingSettings,
    on: EnabledEncapsulations,
  ): void {
    const parent = this.#parents.get(family)?.dev as NetDevice;
    const view: RouteView = {
      family,
      vxlan: on.vxlan[family],
      ipip: family === 4 && on.ipip && programsIpip(settings),
      noEncap: programsNoEncap(settings),
      subnet: facts[family].subnet,
    };
    const vxlan = this.#vxlanDevice(family, parent, facts, settings, view.vxlan);
    const ipip = family === 4 ? this.#ipipDevice(facts, on.ipip) : undefined;
    const protocol = clusterRouteProtocol(settings);
    const node = this.#routes[family];
    node.setVteps(routes, vxlan);
    node.setBlackholes(blackholes(routes, this.#env.node, view), protocol);
    node.apply(routes, routeLayers(routes, view), { vxlan, ipip, parent }, protocol);
    this.#updateWireguard(family, routes, facts, settings);
  }

  /** The key is written on the Node: the others make a peer of this node by it, and IPAM gives it an address. */
  #updateWireguard(
    family: IpFamily,
    routes: L3Routes,
    facts: NodeFacts,
    settings: RoutingSettings,
  ): void {
    const { enabled, interfaceName, listeningPort, keepAlive } = settings.wireguard[family];
    const table = settings.wireguardTable[family];
    const tunnel = this.#wireguard[family];
    const annotation =
      family === 4 ? NODE_ANNOTATIONS.wireguardPublicKey : NODE_ANNOTATIONS.wireguardPublicKeyV6;
    let key: string | undefined;
    if (enabled) {
      const hostEncryption = settings.wireguardHostEncryption;
      const { address, wireguardAddress } = facts[family];
      key = tunnel.apply(routes, {
        family,
        interfaceName,
        listeningPort,
        keepAlive,
        mtu: this.mtus.wireguard[family],
        mark: settings.wireguardMark,
        rulePriority: settings.wireguardRoutingRulePriority,
        table,
        hostEncryption,
        protocol: deviceRouteProtocol(settings),
        address: wireguardAddress ?? (hostEncryption ? address : undefined),
      });
    } else tunnel.remove(family, interfaceName, table);
    annotateNode(this.#env.api, this.#env.node, { [annotation]: key });
  }

  #vxlanDevice(
    family: IpFamily,
    parent: NetDevice,
    facts: NodeFacts,
    { vxlanVni: vni, vxlanPort: port }: RoutingSettings,
    enabled: boolean,
  ): Vxlan | undefined {
    const { netns } = this.#env;
    const { address: local, vxlanAddress: address } = facts[family];
    if (!enabled) removeVxlanDevice(netns, family);
    if (!enabled || local === undefined || address === undefined) return undefined;
    const mac = macOfVtep(facts, family);
    const mtu = this.mtus.vxlan[family];
    return ensureVxlanDevice(netns, { family, vni, port, mac, parent, local, mtu, address });
  }

  #ipipDevice({ ipipAddress }: NodeFacts, enabled: boolean): NetDevice | undefined {
    const { netns } = this.#env;
    if (!enabled) cleanUpIpipDevice(netns);
    if (!enabled || ipipAddress === undefined) return undefined;
    return ensureIpipDevice(netns, this.mtus.ipip, ipipAddress);
  }

  #startWorkloads(settings: RoutingSettings): void {
    if (this.#workloads !== undefined) return;
    const { netns, node, api } = this.#env;
    this.#workloads = new WorkloadRoutes(netns, node, {
      interfacePrefix: settings.interfacePrefix,
      priority: settings.normalRoutePriority,
      protocol: deviceRouteProtocol(settings),
    });
    this.#workloads.start(api);
  }

  stop(): void {
    this.#refresh?.cancel();
    this.#workloads?.stop();
  }
}

/** `felix/calc/encapsulation_resolver.go`: by the pools, disabled ones too, unless the configuration says it. */
function enabledEncapsulations(
  { pools }: L3Routes,
  { ipipEnabled, vxlanEnabled, wireguard }: RoutingSettings,
): EnabledEncapsulations {
  const hasVxlan = (family: IpFamily) => pools.some((p) => p.vxlan && p.cidr.family === family);
  return {
    ipip: ipipEnabled ?? pools.some((p) => p.ipip),
    vxlan: { 4: vxlanEnabled ?? hasVxlan(4), 6: hasVxlan(6) },
    wireguard: { 4: wireguard[4].enabled, 6: wireguard[6].enabled },
  };
}
