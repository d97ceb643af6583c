import type { ClusterConfig, Condition, OverlayEngine, Timer } from "@cnilab/core";
import { KernelError } from "@cnilab/linux";
import { BehaviorSubject, combineLatest, type Observable, Subscription } from "rxjs";
import type { BirdAgent } from "../bird/bird-agent.ts";
import { NODENAME_FILE } from "../cni/calico-plugin.ts";
import type { RouteSources } from "./cluster-routes.ts";
import { FelixRouting, type FelixRoutingEnvironment } from "./felix-routing.ts";
import {
  createDefaultPools,
  type DefaultPools,
  detectAddress,
  type HostAddress,
  writeNodeAddresses,
} from "./startup.ts";
import { reconcileTunnelAddresses, type TunnelIpam } from "./tunnel-addresses.ts";

export interface CalicoNodeEnvironment extends FelixRoutingEnvironment {
  readonly config: ClusterConfig;
  readonly pools: DefaultPools;
  /** Absent with host-local IPAM, where tunnels' addresses follow from the node's range. */
  readonly tunnelIpam?: TunnelIpam;
  /** confd and BIRD; absent where the backend has no BGP. */
  readonly bird?: BirdAgent;
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
  #run: FelixRouting | undefined;
  #due: Timer | undefined;
  #running = false;
  #failures = 0;
  #subscription = new Subscription();

  constructor(environment: CalicoNodeEnvironment) {
    this.#env = environment;
  }

  /** BIRD of this node; `undefined` where there is none. */
  get bird(): BirdAgent | undefined {
    return this.#env.bird;
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

  get warnings(): readonly string[] {
    return this.bird?.warnings ?? [];
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
    // Felix and BIRD start after start-up is through. Nodes that come up in one moment so see one state of the API, and what follows
    // from it is worked out once for all.
    this.#due = this.#env.clock.schedule(0, () => this.#watch(addresses));
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
    this.#due = undefined;
    const { api } = this.#env;
    const felix = new FelixRouting(this.#env, addresses);
    this.#run = felix;
    this.#env.bird?.start();
    this.#subscription = new Subscription();
    const sources = combineLatest({
      nodes: api.snapshots("Node"),
      pools: api.snapshots("IPPool.projectcalico.org"),
      blocks: api.snapshots("IPAMBlock.projectcalico.org"),
      felix: api.snapshots("FelixConfiguration.projectcalico.org"),
    });
    let lastPools: unknown;
    let lastNode: unknown;
    const subscription = sources.subscribe((now) => {
      if (this.#run !== felix) return;
      const own = now.nodes.objects.get(this.#env.node)?.metadata.annotations;
      if (now.pools !== lastPools || own !== lastNode) {
        lastPools = now.pools;
        lastNode = own;
        if (!this.#reconcileTunnels()) return;
      }
      this.#update(felix, now);
    });
    this.#subscription.add(subscription);
  }

  #update(felix: FelixRouting, sources: RouteSources): void {
    try {
      felix.update(sources);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#note(error.message);
      return;
    }
    if (this.#ready.value) return;
    this.#due ??= this.#env.clock.schedule(0, () => {
      this.#due = undefined;
      this.#setNetworkAvailable();
      this.#ready.next(true);
    });
  }

  #fail(message: string): void {
    this.#note(message);
    this.#due?.cancel();
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
    this.#env.bird?.stop();
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
