import type {
  ApiClient,
  Clock,
  ClusterConfig,
  Condition,
  HostFiles,
  OverlayEngine,
  Timer,
} from "@cnilab/core";
import { KernelError, type NetDevice, type NetNamespace, type Vxlan } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import { BehaviorSubject, combineLatest, type Observable, Subscription } from "rxjs";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import type { L3Routes } from "../calc/l3-routes/l3-routes.ts";
import type { NodeFacts } from "../calc/l3-routes/node-facts.ts";
import { macOfVtep } from "../calc/l3-routes/vteps.ts";
import { NODENAME_FILE } from "../cni/calico-plugin.ts";
import type { ClusterRoutes, RouteSources } from "./cluster-routes.ts";
import {
  clusterRouteProtocol,
  felixSpecs,
  programsIpip,
  programsNoEncap,
  type RoutingSettings,
  routingSettings,
} from "./felix-settings.ts";
import { type EnabledEncapsulations, hostMtu, MTU_FILE, type Mtus, mtus } from "./mtu.ts";
import { NodeRoutes } from "./node-routes.ts";
import { blackholes, type RouteView, routeLayers } from "./route-layers.ts";
import {
  createDefaultPools,
  type DefaultPools,
  detectAddress,
  type HostAddress,
  writeNodeAddresses,
} from "./startup.ts";
import { reconcileTunnelAddresses, type TunnelIpam } from "./tunnel-addresses.ts";
import {
  cleanUpIpipDevice,
  ensureIpipDevice,
  ensureVxlanDevice,
  removeVxlanDevice,
} from "./tunnel-devices.ts";
import { WorkloadRoutes } from "./workload-routes.ts";

export interface CalicoNodeEnvironment {
  readonly node: string;
  readonly netns: NetNamespace;
  readonly files: HostFiles;
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly config: ClusterConfig;
  /** Shared by all nodes of a cluster. */
  readonly clusterRoutes: ClusterRoutes;
  readonly pools: DefaultPools;
  /** FELIX_… of the DaemonSet. */
  readonly felixEnvironment: FelixConfigurationSpec;
  /** Absent with host-local IPAM, where tunnels' addresses follow from the node's range. */
  readonly tunnelIpam?: TunnelIpam;
  /** What `install-cni` puts into the folder of network configurations. */
  readonly installCni: () => void;
}

/** Milliseconds until the container starts again: runit waits one second, and doubles nothing. */
const RESTART_MS = 1000;
/** Restarts that somebody waits for. */
const PATIENCE = 3;
const LOG_LINES = 100;

/**
 * The DaemonSet calico-node on one node: start-up, tunnel addresses, and the routing half of Felix. What Felix does about policies is
 * another engine.
 */
export class CalicoNode implements OverlayEngine {
  readonly name = "calico-node";
  readonly #env: CalicoNodeEnvironment;
  readonly #ready = new BehaviorSubject(false);
  readonly #log: string[] = [];
  #run: Felix | undefined;
  #due: Timer | undefined;
  #running = false;
  #failures = 0;
  #subscription = new Subscription();

  constructor(environment: CalicoNodeEnvironment) {
    this.#env = environment;
  }

  get ready(): Observable<boolean> {
    return this.#ready;
  }

  get mtu(): number {
    return this.#run?.mtus.pod ?? 0;
  }

  get problem(): string | undefined {
    return this.#run === undefined ? this.#log.at(-1) : undefined;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#env.installCni();
    // The node's containers come up when all that was applied in this moment is there.
    this.#due = this.#env.clock.schedule(0, () => this.#startUp());
  }

  #startUp(): void {
    this.#due = undefined;
    const { api, node, netns, config, files, pools } = this.#env;
    const addresses = config.ipFamilies
      .map((family) => detectAddress(netns, family))
      .filter((a) => a !== undefined);
    if (addresses.length === 0) {
      this.#fail(
        "no IPv4 or IPv6 addresses configured or detected, required for Calico networking",
      );
      return;
    }
    writeNodeAddresses(api, node, addresses);
    createDefaultPools(api, config, pools);
    files.write(NODENAME_FILE, node);
    if (!this.#reconcileTunnels()) return;
    this.#failures = 0;
    this.#watch(addresses);
  }

  /** False where it failed, and starts again. */
  #reconcileTunnels(): boolean {
    const { api, node, tunnelIpam, felixEnvironment } = this.#env;
    if (tunnelIpam === undefined) return true;
    try {
      const hostEncryption = felixEnvironment.wireguardHostEncryptionEnabled === true;
      reconcileTunnelAddresses(api, node, tunnelIpam, hostEncryption);
    } catch (error) {
      this.#fail(`failed to reconcile tunnel address: ${(error as Error).message}`);
      return false;
    }
    return true;
  }

  #watch(addresses: readonly HostAddress[]): void {
    const { api } = this.#env;
    const felix = new Felix(this.#env, addresses);
    this.#run = felix;
    const sources = combineLatest({
      nodes: api.snapshots("Node"),
      pools: api.snapshots("IPPool.projectcalico.org"),
      blocks: api.snapshots("IPAMBlock.projectcalico.org"),
      felix: api.snapshots("FelixConfiguration.projectcalico.org"),
    });
    let lastPools: unknown;
    let lastNode: unknown;
    this.#subscription = sources.subscribe((now) => {
      const own = now.nodes.objects.get(this.#env.node)?.metadata.annotations;
      if (now.pools !== lastPools || own !== lastNode) {
        lastPools = now.pools;
        lastNode = own;
        if (!this.#reconcileTunnels()) return;
      }
      this.#update(felix, now);
    });
  }

  #update(felix: Felix, sources: RouteSources): void {
    try {
      felix.update(sources);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#note(error.message);
      return;
    }
    if (this.#ready.value) return;
    this.#setNetworkAvailable();
    this.#ready.next(true);
  }

  #fail(message: string): void {
    this.#note(message);
    this.#end();
    const background = ++this.#failures > PATIENCE;
    this.#due = this.#env.clock.schedule(RESTART_MS, () => this.#startUp(), { background });
  }

  stop(): void {
    this.#running = false;
    this.#due?.cancel();
    this.#due = undefined;
    this.#end();
  }

  /** What is programmed stays, as when the container ends. */
  #end(): void {
    this.#subscription.unsubscribe();
    this.#run?.stop();
    this.#run = undefined;
    if (this.#ready.value) this.#ready.next(false);
  }

  #setNetworkAvailable(): void {
    const condition: Condition = {
      type: "NetworkUnavailable",
      status: "False",
      reason: "CalicoIsUp",
      message: "Calico is running on this node",
    };
    this.#env.api.update("Node", this.#env.node, (node) => {
      const others = (node.status?.conditions ?? []).filter((c) => c.type !== condition.type);
      return { ...node, status: { ...node.status, conditions: [...others, condition] } };
    });
  }

  #note(message: string): void {
    this.#log.push(message);
    if (this.#log.length > LOG_LINES) this.#log.shift();
  }
}

/** One run of Felix's routing half. */
class Felix {
  readonly #env: CalicoNodeEnvironment;
  readonly #parents: ReadonlyMap<IpFamily, HostAddress>;
  readonly #routes: Readonly<Record<IpFamily, NodeRoutes>>;
  #workloads: WorkloadRoutes | undefined;
  mtus: Mtus = { host: 0, ipip: 0, vxlan: { 4: 0, 6: 0 }, wireguard: { 4: 0, 6: 0 }, pod: 0 };

  constructor(environment: CalicoNodeEnvironment, addresses: readonly HostAddress[]) {
    this.#env = environment;
    const { netns, node } = environment;
    this.#parents = new Map(addresses.map((a) => [typeof a.address === "number" ? 4 : 6, a]));
    this.#routes = { 4: new NodeRoutes(netns, 4, node), 6: new NodeRoutes(netns, 6, node) };
  }

  update(sources: RouteSources): void {
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

  #startWorkloads({
    interfacePrefix,
    normalRoutePriority: priority,
    ...settings
  }: RoutingSettings) {
    if (this.#workloads !== undefined) return;
    const { netns, node, api } = this.#env;
    const { deviceRouteProtocol } = settings;
    const protocol = deviceRouteProtocol === 3 ? "boot" : deviceRouteProtocol;
    this.#workloads = new WorkloadRoutes(netns, node, { interfacePrefix, priority, protocol });
    this.#workloads.start(api);
  }

  stop(): void {
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
