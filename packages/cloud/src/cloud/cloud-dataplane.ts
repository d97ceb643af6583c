import {
  type Clock,
  type LoadBalancerIngress,
  type Node,
  objectKey,
  type Service,
  type Timer,
} from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import { familyOf, type IpAddress, tryParseIp } from "@cnilab/net";
import type { LoadBalancerDataplane } from "../load-balancer-dataplane.ts";
import type { CloudOptions } from "./cloud-options.ts";
import type { Forwarder } from "./forwarder.ts";
import { requireNodePorts } from "./forwarding.ts";
import {
  HealthCheck,
  type HealthCheckSettings,
  KUBE_PROXY_CHECK,
  localEndpointsCheck,
  nodePortCheck,
} from "./health-check.ts";
import { isEligible, subset } from "./target-nodes.ts";

/** One load balancer: what it serves, and the checks that say which nodes it may use. */
interface LoadBalancer {
  readonly service: Service;
  readonly addresses: readonly IpAddress[];
  readonly settings: HealthCheckSettings;
}

/** The checks of all nodes for one port, which several load balancers may go by. */
interface CheckGroup {
  readonly settings: HealthCheckSettings;
  readonly users: Set<string>;
  readonly checks: Map<string, HealthCheck>;
}

/** The cloud's side: keeps the forwarder in step with Services, with nodes and with what health checks find. */
export class CloudDataplane implements LoadBalancerDataplane {
  readonly ipMode: NonNullable<LoadBalancerIngress["ipMode"]>;
  readonly #forwarder: Forwarder;
  readonly #from: NetNamespace;
  readonly #clock: Clock;
  readonly #healthCheck: CloudOptions["healthCheck"];
  readonly #balancers = new Map<string, LoadBalancer>();
  /** By the port that is asked. */
  readonly #groups = new Map<number, CheckGroup>();
  #nodes: ReadonlyMap<string, Node> = new Map();
  /** Load balancers whose nodes may be others now, to be looked at together. */
  readonly #changed = new Set<string>();
  #due: Timer | undefined;

  /** @param from where health checks come from: the forwarder's machine */
  constructor(
    forwarder: Forwarder,
    from: NetNamespace,
    clock: Clock,
    options: Pick<CloudOptions, "sourcePreserving" | "healthCheck">,
  ) {
    this.#forwarder = forwarder;
    this.#from = from;
    this.#clock = clock;
    this.#healthCheck = options.healthCheck;
    this.ipMode = options.sourcePreserving ? "VIP" : "Proxy";
  }

  program(service: Service, addresses: readonly IpAddress[]): void {
    if (this.ipMode === "Proxy") requireNodePorts(service);
    const key = objectKey(service);
    const before = this.#balancers.get(key);
    const balancer = { service, addresses, settings: this.#settingsOf(service) };
    this.#balancers.set(key, balancer);
    if (before !== undefined) this.#forget(key, before, balancer);
    this.#join(key, balancer.settings);
    this.#forward(key, balancer);
  }

  remove(key: string): void {
    const balancer = this.#balancers.get(key);
    this.#balancers.delete(key);
    if (balancer !== undefined) this.#forget(key, balancer, undefined);
  }

  /** Nodes have come, gone or changed. */
  setNodes(nodes: ReadonlyMap<string, Node>): void {
    this.#nodes = new Map([...nodes].filter(([, node]) => isEligible(node)));
    for (const group of this.#groups.values()) this.#checkNodes(group);
    this.#forwardSoon(this.#balancers.keys());
  }

  stop(): void {
    this.#due?.cancel();
    this.#due = undefined;
    for (const { checks } of this.#groups.values())
      for (const check of checks.values()) check.stop();
    this.#groups.clear();
  }

  /** Takes away what the load balancer was and is no longer. */
  #forget(key: string, before: LoadBalancer, now: LoadBalancer | undefined): void {
    for (const address of before.addresses) {
      if (now?.addresses.includes(address) !== true) this.#forwarder.remove(address);
    }
    if (before.settings.port === now?.settings.port) return;
    const group = this.#groups.get(before.settings.port);
    group?.users.delete(key);
    if (group === undefined || group.users.size > 0) return;
    for (const check of group.checks.values()) check.stop();
    this.#groups.delete(before.settings.port);
  }

  #join(key: string, settings: HealthCheckSettings): void {
    let group = this.#groups.get(settings.port);
    if (group === undefined) {
      group = { settings, users: new Set(), checks: new Map() };
      this.#groups.set(settings.port, group);
      this.#checkNodes(group);
    }
    group.users.add(key);
  }

  #checkNodes({ settings, users, checks }: CheckGroup): void {
    for (const [name, check] of checks) {
      if (this.#nodes.has(name)) continue;
      check.stop();
      checks.delete(name);
    }
    for (const [name, node] of this.#nodes) {
      const address = addressesOf(node)[0];
      if (address === undefined || checks.has(name)) continue;
      const changed = () => this.#forwardSoon(users);
      checks.set(name, new HealthCheck(this.#from, address, settings, this.#clock, changed));
    }
  }

  /** In a task of its own: many checks find the same in one moment. */
  #forwardSoon(keys: Iterable<string>): void {
    for (const key of keys) this.#changed.add(key);
    this.#due ??= this.#clock.schedule(0, () => {
      this.#due = undefined;
      for (const key of this.#changed) {
        const balancer = this.#balancers.get(key);
        if (balancer !== undefined) this.#forward(key, balancer);
      }
      this.#changed.clear();
    });
  }

  #forward(key: string, { service, addresses, settings }: LoadBalancer): void {
    const checks = this.#groups.get(settings.port)?.checks;
    const healthy = subset([...this.#nodes.keys()], key).filter((n) => checks?.get(n)?.healthy);
    for (const address of addresses) {
      const nodes = healthy.flatMap((name) => {
        const own = addressesOf(this.#nodes.get(name) as Node);
        return own.find((a) => familyOf(a) === familyOf(address)) ?? [];
      });
      this.#forwarder.set({ key, service, address, nodes });
    }
  }

  #settingsOf({ spec }: Service): HealthCheckSettings {
    const { externalTrafficPolicy, healthCheckNodePort, ports = [] } = spec;
    if (externalTrafficPolicy === "Local" && healthCheckNodePort !== undefined) {
      return localEndpointsCheck(healthCheckNodePort);
    }
    const tcp = ports.find(({ protocol = "TCP", nodePort }) => protocol === "TCP" && nodePort);
    const asksNodePort = this.#healthCheck === "node-port" && tcp?.nodePort !== undefined;
    return asksNodePort ? nodePortCheck(tcp.nodePort as number) : KUBE_PROXY_CHECK;
  }
}

function addressesOf({ status }: Node): IpAddress[] {
  return (status?.addresses ?? [])
    .filter(({ type }) => type === "InternalIP")
    .flatMap(({ address }) => tryParseIp(address) ?? []);
}
