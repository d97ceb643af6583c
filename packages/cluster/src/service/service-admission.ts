import {
  type ClusterConfig,
  objectKey,
  type Service,
  type ServicePort,
  type ServiceSpec,
} from "@cnilab/core";
import { formatIp, type IpAddress, type IpFamily, parseIp } from "@cnilab/net";
import type { Admission } from "../api/admission.ts";
import { ApiError } from "../api/api-error.ts";
import { canonicalJson } from "../api/name-suffix.ts";
import { AddressPool } from "./address-pool.ts";
import { NodePortPool } from "./node-port-pool.ts";
import { isExternallyAccessible, withDefaults, withStatusOf } from "./service-defaults.ts";
import { familyNames, givenAddresses, serviceFamilies } from "./service-families.ts";
import { validateService } from "./service-validation.ts";

/** The `kubernetes` Service, which the API server keeps for itself. */
export const KUBERNETES_SERVICE = "default/kubernetes";

/** What is remembered of the Services of one name. */
interface History {
  readonly incarnation: number;
  readonly addresses: readonly IpAddress[];
}

/** One Service that is made or changed: what it took, in case it comes to nothing. */
interface Attempt {
  readonly key: string;
  /** `undefined` for a new one. */
  readonly old: ServiceSpec | undefined;
  readonly undo: (() => void)[];
}

/**
 * What the API server adds to a Service: defaults, cluster addresses and node ports
 * (kube-apiserver pkg/registry/core/service). Its messages are the API server's, with who has what somebody wants.
 */
export class ServiceAdmission implements Admission<"Service"> {
  readonly kind = "Service";
  readonly #config: ClusterConfig;
  readonly #pools: ReadonlyMap<IpFamily, AddressPool>;
  readonly #nodePorts: NodePortPool;
  readonly #history: Map<string, History>;

  constructor(
    config: ClusterConfig,
    seed: number,
    state?: {
      readonly pools: ReadonlyMap<IpFamily, AddressPool>;
      readonly nodePorts: NodePortPool;
      readonly history: ReadonlyMap<string, History>;
    },
  ) {
    this.#config = config;
    this.#pools =
      state?.pools ?? new Map(config.serviceCidrs.map((r) => [r.family, new AddressPool(r, seed)]));
    this.#nodePorts = state?.nodePorts ?? new NodePortPool(seed, config.serviceNodePortRange);
    this.#history = new Map(state?.history);
    if (state !== undefined) return;
    for (const pool of this.#pools.values()) pool.take(pool.first, KUBERNETES_SERVICE);
  }

  /** A copy on which Services can be tried. */
  clone(seed: number): ServiceAdmission {
    return new ServiceAdmission(this.#config, seed, {
      pools: new Map([...this.#pools].map(([family, pool]) => [family, pool.clone()])),
      nodePorts: this.#nodePorts.clone(),
      history: this.#history,
    });
  }

  create(service: Service): Service {
    const key = objectKey(service);
    const given = withDefaults(service.spec);
    validateService(given);
    const spec = this.#allocated(key, given, undefined);
    if (spec.type === "ExternalName") return withStatusOf({ ...service, spec });
    const incarnation = (this.#history.get(key)?.incarnation ?? -1) + 1;
    this.#history.set(key, { incarnation, addresses: givenAddresses(spec) });
    return withStatusOf({ ...service, spec });
  }

  update(service: Service, old: Service): Service {
    if (service.spec === old.spec) return service;
    const key = objectKey(service);
    const kept = withoutOfOtherTypes(withDefaults(service.spec), old.spec);
    validateService(kept);
    const spec = this.#allocated(key, kept, old.spec);
    this.#releaseAllBut(key, spec, old.spec);
    const changed = withStatusOf({ ...service, spec });
    return canonicalJson(changed) === canonicalJson(old) ? old : changed;
  }

  removed(service: Service): void {
    this.#releaseAllBut(objectKey(service), {}, service.spec);
  }

  /** The spec with addresses and ports; where one cannot be had, nothing is taken. @throws ApiError Invalid */
  #allocated(key: string, spec: ServiceSpec, old: ServiceSpec | undefined): ServiceSpec {
    if (spec.type === "ExternalName") return spec;
    const attempt: Attempt = { key, old, undo: [] };
    try {
      const addressed = this.#allocateAddresses(attempt, spec);
      const ported = this.#allocateNodePorts(attempt, addressed);
      return this.#allocateHealthCheck(attempt, ported);
    } catch (error) {
      for (const undo of attempt.undo) undo();
      throw error;
    }
  }

  #releaseAllBut(key: string, now: ServiceSpec, old: ServiceSpec): void {
    const addresses = new Set(givenAddresses(now));
    for (const address of givenAddresses(old)) {
      if (!addresses.has(address)) this.#poolOf(address)?.release(address, key);
    }
    const ports = new Set(nodePortsOf(now));
    for (const port of nodePortsOf(old)) {
      if (!ports.has(port)) this.#nodePorts.release(port, key);
    }
  }

  #poolOf(address: IpAddress): AddressPool | undefined {
    return this.#pools.get(familyOf(address));
  }

  // ---- cluster addresses

  #allocateAddresses(attempt: Attempt, spec: ServiceSpec): ServiceSpec {
    const had = attempt.old?.type === "ExternalName" ? undefined : attempt.old;
    const { policy, families } = serviceFamilies(spec, this.#config.ipFamilies, had);
    const common = { ...spec, ipFamilies: familyNames(families), ipFamilyPolicy: policy };
    checkFirstAddress(spec, had);
    if ((spec.clusterIP ?? had?.clusterIP) === "None") {
      return { ...common, clusterIP: "None", clusterIPs: ["None"] };
    }
    const named = [...givenAddresses(spec), ...(had === undefined ? [] : givenAddresses(had))];
    const addresses = families.flatMap((family) => {
      const pool = this.#pools.get(family);
      if (pool === undefined) return [];
      const wanted = named.find((address) => familyOf(address) === family);
      return [this.#takeAddress(attempt, pool, wanted)];
    });
    const clusterIPs = addresses.map(formatIp);
    return { ...common, clusterIP: clusterIPs[0] as string, clusterIPs };
  }

  #takeAddress(
    { key, undo }: Attempt,
    pool: AddressPool,
    wanted: IpAddress | undefined,
  ): IpAddress {
    if (wanted !== undefined && pool.ownerOf(wanted) === key) return wanted;
    const history = this.#history.get(key);
    const before = history?.addresses.find((a) => familyOf(a) === pool.range.family);
    if (wanted !== undefined) pool.take(wanted, key);
    const address = wanted ?? pool.takeAny(key, (history?.incarnation ?? -1) + 1, before);
    undo.push(() => pool.release(address, key));
    return address;
  }

  // ---- node ports

  #allocateNodePorts(attempt: Attempt, spec: ServiceSpec): ServiceSpec {
    const { ports } = spec;
    if (ports === undefined || ports.length === 0 || !needsNodePorts(spec)) return spec;
    const allocates = spec.type === "NodePort" || spec.allocateLoadBalancerNodePorts !== false;
    const wished = withPortsOf(attempt.old, ports);
    // One number for all protocols of one port, as DNS has it for TCP and UDP.
    const byPort = new Map<number, number>();
    for (const { port, nodePort } of wished) {
      if (nodePort !== undefined && !byPort.has(port)) byPort.set(port, nodePort);
    }
    const allocated = wished.map((port, i): ServicePort => {
      const shared = attempt.old === undefined ? byPort.get(port.port) : undefined;
      const wanted = port.nodePort ?? shared;
      if (wanted === undefined && !allocates) return port;
      const field = `spec.ports[${i}].nodePort`;
      const nodePort = this.#takePort(attempt, wanted, field, `${port.protocol} ${port.port}`);
      if (!byPort.has(port.port)) byPort.set(port.port, nodePort);
      return { ...port, nodePort };
    });
    return { ...spec, ports: allocated };
  }

  /** A load balancer that goes to local endpoints only asks each node whether it has any. */
  #allocateHealthCheck(attempt: Attempt, spec: ServiceSpec): ServiceSpec {
    if (!needsHealthCheck(spec)) return spec;
    const { old } = attempt;
    const had = old !== undefined && needsHealthCheck(old) ? old.healthCheckNodePort : undefined;
    const wanted = spec.healthCheckNodePort || had;
    const port = this.#takePort(attempt, wanted, "spec.healthCheckNodePort", "health check");
    return { ...spec, healthCheckNodePort: port };
  }

  #takePort(
    { key, undo }: Attempt,
    wanted: number | undefined,
    field: string,
    what: string,
  ): number {
    const pool = this.#nodePorts;
    if (wanted !== undefined && pool.ownerOf(wanted) === key) return wanted;
    if (wanted !== undefined) pool.take(wanted, key, field);
    const port = wanted ?? pool.takeAny(key, what);
    undo.push(() => pool.release(port, key));
    return port;
  }
}

function familyOf(address: IpAddress): IpFamily {
  return typeof address === "number" ? 4 : 6;
}

function needsNodePorts({ type }: ServiceSpec): boolean {
  return type === "NodePort" || type === "LoadBalancer";
}

function needsHealthCheck({ type, externalTrafficPolicy }: ServiceSpec): boolean {
  return type === "LoadBalancer" && externalTrafficPolicy === "Local";
}

/** All that a Service has from the pool of node ports. */
function nodePortsOf({ ports = [], healthCheckNodePort }: ServiceSpec): number[] {
  return [...ports.map((p) => p.nodePort), healthCheckNodePort].filter((n) => n !== undefined);
}

/** The first address stays for as long as a Service has one (validation of updates). @throws ApiError Invalid */
function checkFirstAddress(spec: ServiceSpec, old: ServiceSpec | undefined): void {
  const [first] = spec.clusterIPs ?? [spec.clusterIP];
  const before = old?.clusterIP;
  if (first === undefined || before === undefined || sameAddress(first, before)) return;
  throw new ApiError(
    "Invalid",
    `spec.clusterIPs[0]: Invalid value: ["${first}"]: may not change once set (it is ${before})`,
  );
}

function sameAddress(x: string, y: string): boolean {
  return x === y || (x !== "None" && y !== "None" && parseIp(x) === parseIp(y));
}

/** Ports that keep the number that a port of their name had, unless the input says otherwise (`patchAllocatedValues`). */
function withPortsOf(
  old: ServiceSpec | undefined,
  ports: readonly ServicePort[],
): readonly ServicePort[] {
  if (old === undefined || !needsNodePorts(old)) return ports;
  const given = new Set(ports.map((p) => p.nodePort));
  const known = new Map((old.ports ?? []).map((p) => [p.name ?? "", p.nodePort]));
  return ports.map((port) => {
    const before = known.get(port.name ?? "");
    if (port.nodePort !== undefined || before === undefined || given.has(before)) return port;
    return { ...port, nodePort: before };
  });
}

/** Leaves out what the old type had and the new one has not, where the input does not ask for more (`dropTypeDependentFields`). */
function withoutOfOtherTypes(spec: ServiceSpec, old: ServiceSpec): ServiceSpec {
  let now = spec;
  if (now.type === "ExternalName" && old.type !== "ExternalName") {
    const { clusterIP: _, clusterIPs: __, ipFamilies: ___, ipFamilyPolicy: ____, ...rest } = now;
    now = rest;
  }
  if (needsNodePorts(old) && !needsNodePorts(now) && hasNoOtherPorts(now, old)) {
    const ports = (now.ports ?? []).map(({ nodePort: _, ...port }) => port);
    now = { ...now, ...(now.ports === undefined ? {} : { ports }) };
  }
  if (!needsHealthCheck(now) && now.healthCheckNodePort === old.healthCheckNodePort) {
    const { healthCheckNodePort: _, ...rest } = now;
    now = rest;
  }
  if (now.type !== "LoadBalancer" && old.type === "LoadBalancer") {
    const { allocateLoadBalancerNodePorts, loadBalancerClass, ...rest } = now;
    const sameNodePorts = allocateLoadBalancerNodePorts === old.allocateLoadBalancerNodePorts;
    const sameClass = loadBalancerClass === old.loadBalancerClass;
    now = {
      ...rest,
      ...(sameNodePorts || allocateLoadBalancerNodePorts === undefined
        ? {}
        : { allocateLoadBalancerNodePorts }),
      ...(sameClass || loadBalancerClass === undefined ? {} : { loadBalancerClass }),
    };
  }
  if (!isExternallyAccessible(now) && now.externalTrafficPolicy === old.externalTrafficPolicy) {
    const { externalTrafficPolicy: _, ...rest } = now;
    now = rest;
  }
  return now;
}

function hasNoOtherPorts(now: ServiceSpec, old: ServiceSpec): boolean {
  const had = new Set((old.ports ?? []).map((p) => p.nodePort));
  return (now.ports ?? []).every((p) => p.nodePort === undefined || had.has(p.nodePort));
}
