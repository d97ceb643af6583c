import type { ClusterContext, LoadBalancerEngine } from "@cnilab/core";
import type { Kernel } from "@cnilab/linux";
import type { Subscription } from "rxjs";
import { AddressPools } from "../address-pools.ts";
import { LoadBalancerController, type ProviderEvents } from "../load-balancer-controller.ts";
import { CloudDataplane } from "./cloud-dataplane.ts";
import type { CloudOptions } from "./cloud-options.ts";
import { Forwarder } from "./forwarder.ts";

/** The machine that it puts on the nodes' network. */
export const LOAD_BALANCER_MACHINE = "load-balancer";

/** Milliseconds after a first failure (k8s.io/cloud-provider controllers/service `minRetryDelay`). */
const RETRY_MS = 5000;

/** A cloud with network load balancers, and the service controller that orders them. */
export class CloudProvider implements LoadBalancerEngine {
  readonly name = "cloud";
  readonly #cluster: ClusterContext<Kernel>;
  readonly #options: CloudOptions;
  #running: { controller: LoadBalancerController; dataplane: CloudDataplane } | undefined;
  readonly #subscriptions: Subscription[] = [];

  constructor(cluster: ClusterContext<Kernel>, options: CloudOptions) {
    this.#cluster = cluster;
    this.#options = options;
  }

  /** There is no machine in the cloud until a Service wants one. */
  start(): void {
    if (this.#subscriptions.length > 0) return;
    const { api } = this.#cluster;
    this.#subscriptions.push(
      api.watch("Service").subscribe(({ object }) => {
        if (object.spec.type === "LoadBalancer") this.#serve();
      }),
    );
  }

  stop(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
    this.#running?.controller.stop();
    this.#running?.dataplane.stop();
    this.#running = undefined;
  }

  #serve(): void {
    if (this.#running !== undefined) return;
    const { api, clock, router } = this.#cluster;
    const { pools, sourcePreserving, latencyMs, loadBalancerClass } = this.#options;
    const machine = this.#cluster.addMachine(LOAD_BALANCER_MACHINE);
    const forwarder = new Forwarder(machine, router, sourcePreserving);
    const dataplane = new CloudDataplane(forwarder, machine.initNs, clock, this.#options);
    const controller = new LoadBalancerController({
      api,
      clock,
      events: this.#cluster.events("service-controller"),
      pools: () => new AddressPools(pools),
      dataplane,
      says: SERVICE_CONTROLLER,
      latencyMs,
      retryMs: RETRY_MS,
      loadBalancerClass,
    });
    this.#running = { controller, dataplane };
    this.#subscriptions.push(
      api.snapshots("Node").subscribe(({ objects }) => dataplane.setNodes(objects)),
    );
    controller.start();
  }
}

/** The words of k8s.io/cloud-provider controllers/service. */
const SERVICE_CONTROLLER: ProviderEvents = {
  ensuring: ["EnsuringLoadBalancer", "Ensuring load balancer"],
  ensured: () => ["EnsuredLoadBalancer", "Ensured load balancer"],
  failed: (_, why) => [
    "SyncLoadBalancerFailed",
    `Error syncing load balancer: failed to ensure load balancer: ${why}`,
  ],
  deleting: ["DeletingLoadBalancer", "Deleting load balancer"],
  deleted: ["DeletedLoadBalancer", "Deleted load balancer"],
};
