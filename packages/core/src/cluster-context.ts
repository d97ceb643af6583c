import type { IpAddress, Prefix } from "@cnilab/net";
import type { Event } from "./api/event.ts";
import type { KubeObject } from "./api/meta.ts";
import type { Clock } from "./clock.ts";
import type { ClusterConfig } from "./cluster-config.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";
import type { ApiClient } from "./watch.ts";

/** Writes Events, as `kubectl describe` shows them below an object. */
export interface EventSink {
  record(object: KubeObject, type: Event["type"], reason: string, message: string): void;
}

/** What an engine is given that works for the whole cluster, from beside its nodes. */
export interface ClusterContext<M extends Machine = Machine> {
  readonly api: ApiClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: ClusterConfig;
  /** The router between the nodes and the world; it lets nobody in who was not asked. */
  readonly router: M;
  /** The network that the nodes are on, one prefix a family. */
  readonly nodeNetworks: readonly Prefix[];
  /** A node's machine; `undefined` while it is switched off. */
  machine(node: string): M | undefined;
  /**
   * A further machine on the nodes' network, with an address of each family on `eth0`.
   * @param address its only one, which may be of another network; the machine is a router then
   * @throws InputError for an address that another machine has
   */
  addMachine(hostname: string, address?: IpAddress): M;
  /** @param component who speaks, as `service-controller` */
  events(component: string): EventSink;
}
