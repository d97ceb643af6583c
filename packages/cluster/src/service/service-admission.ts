import {
  type ClusterConfig,
  objectKey,
  type Service,
  type ServiceIpFamily,
  type ServicePort,
  type ServiceSpec,
} from "@cnilab/core";
import { formatIp, type IpAddress, type IpFamily, parseIp } from "@cnilab/net";
import type { Admission } from "../api/admission.ts";
import { ApiError } from "../api/api-error.ts";
import { canonicalJson } from "../api/name-suffix.ts";
import { AddressPool } from "./address-pool.ts";
import { NodePortPool } from "./node-port-pool.ts";

/** The `kubernetes` Service, which the API server keeps for itself. */
export const KUBERNETES_SERVICE = "default/kubernetes";

/** What is remembered of the Services of one name. */
interface History {
  readonly incarnation: number;
  readonly addresses: readonly IpAddress[];
}

/**
 * What the API server adds to a Service: defaults, cluster addresses and node ports
 * (kube-apiserver pkg/registry/core/service).
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
    this.#nodePorts = state?.nodePorts ?? new NodePortPool(seed);
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
    const spec = withDefaults(service.spec);
    if (spec.type === "ExternalName") return { ...service, spec };
    const key = objectKey(service);
    const taken: IpAddress[] = [];
    try {
      const addressed = this.#allocateAddresses(key, spec, taken);
      const ported = this.#allocateNodePorts(key, addressed, new Map());
      const incarnation = (this.#history.get(key)?.incarnation ?? -1) + 1;
      this.#history.set(key, { incarnation, addresses: taken });
      return { ...service, spec: ported };
    } catch (error) {
      for (const address of taken) this.#poolOf(address)?.release(address, key);
      throw error;
    }
  }

  update(service: Service, old: Service): Service {
    if (service.spec === old.spec) return service;
    const key = objectKey(service);
    const spec = withDefaults(service.spec);
    if (spec.type === "ExternalName") {
      this.#release(old);
      const { clusterIP: _, clusterIPs: __, ...rest } = spec;
      return { ...service, spec: rest };
    }
    const same = spec.clusterIP === undefined || spec.clusterIP === old.spec.clusterIP;
    let addressed: ServiceSpec = same ? { ...addressesOf(old.spec), ...spec } : spec;
    if (addressed.clusterIP === undefined) addressed = this.#allocateAddresses(key, addressed, []);
    else if (old.spec.clusterIP !== addressed.clusterIP) {
      throw new ApiError(
        "Invalid",
        `spec.clusterIPs[0]: field is immutable: it is ${old.spec.clusterIP}, not ${addressed.clusterIP}`,
      );
    }
    const known = new Map((old.spec.ports ?? []).map((p) => [portId(p), p.nodePort]));
    const ported = this.#allocateNodePorts(key, addressed, known);
    const kept = new Set((ported.ports ?? []).map((p) => p.nodePort));
    for (const { nodePort } of old.spec.ports ?? []) {
      if (nodePort !== undefined && !kept.has(nodePort)) this.#nodePorts.release(nodePort, key);
    }
    const changed = { ...service, spec: ported };
    return canonicalJson(changed) === canonicalJson(old) ? old : changed;
  }

  removed(service: Service): void {
    this.#release(service);
  }

  #release(service: Service): void {
    const key = objectKey(service);
    for (const text of service.spec.clusterIPs ?? []) {
      if (text === "None") continue;
      const address = parseIp(text);
      this.#poolOf(address)?.release(address, key);
    }
    for (const { nodePort } of service.spec.ports ?? []) {
      if (nodePort !== undefined) this.#nodePorts.release(nodePort, key);
    }
    const { healthCheckNodePort } = service.spec;
    if (healthCheckNodePort !== undefined) this.#nodePorts.release(healthCheckNodePort, key);
  }

  #poolOf(address: IpAddress): AddressPool | undefined {
    return this.#pools.get(typeof address === "number" ? 4 : 6);
  }

  #allocateAddresses(key: string, spec: ServiceSpec, taken: IpAddress[]): ServiceSpec {
    const families = this.#families(spec);
    const names = families.map((f): ServiceIpFamily => (f === 4 ? "IPv4" : "IPv6"));
    const common = { ...spec, ipFamilies: names, ipFamilyPolicy: this.#policy(spec) };
    if (spec.clusterIP === "None") return { ...common, clusterIP: "None", clusterIPs: ["None"] };
    const given = givenAddresses(spec);
    const history = this.#history.get(key);
    for (const family of families) {
      const pool = this.#pools.get(family);
      if (pool === undefined) continue;
      const wanted = given.find((a) => (typeof a === "number" ? 4 : 6) === family);
      if (wanted !== undefined) {
        pool.take(wanted, key);
        taken.push(wanted);
        continue;
      }
      const before = history?.addresses.find((a) => (typeof a === "number" ? 4 : 6) === family);
      taken.push(pool.takeAny(key, (history?.incarnation ?? -1) + 1, before));
    }
    const clusterIPs = taken.map(formatIp);
    return { ...common, clusterIP: clusterIPs[0] as string, clusterIPs };
  }

  #policy(spec: ServiceSpec): NonNullable<ServiceSpec["ipFamilyPolicy"]> {
    if (spec.ipFamilyPolicy !== undefined) return spec.ipFamilyPolicy;
    const given = Math.max(spec.ipFamilies?.length ?? 0, spec.clusterIPs?.length ?? 0);
    return given > 1 ? "RequireDualStack" : "SingleStack";
  }

  #families(spec: ServiceSpec): readonly IpFamily[] {
    const has = this.#config.ipFamilies;
    const asked = (spec.ipFamilies ?? []).map((f): IpFamily => (f === "IPv4" ? 4 : 6));
    for (const address of givenAddresses(spec)) {
      const family = typeof address === "number" ? 4 : 6;
      if (!asked.includes(family)) asked.push(family);
    }
    for (const family of asked) {
      if (has.includes(family)) continue;
      throw new ApiError(
        "Invalid",
        `spec.ipFamilies: IPv${family} is not configured on this cluster, which has ${has.map((f) => `IPv${f}`).join(" and ")}`,
      );
    }
    const policy = this.#policy(spec);
    if (policy === "RequireDualStack" && has.length < 2) {
      throw new ApiError(
        "Invalid",
        "spec.ipFamilyPolicy: this cluster is not configured for dual-stack services",
      );
    }
    const first = asked[0] ?? (has[0] as IpFamily);
    if (policy === "SingleStack") return [first];
    return [first, ...has.filter((f) => f !== first)];
  }

  #allocateNodePorts(
    key: string,
    spec: ServiceSpec,
    known: ReadonlyMap<string, number | undefined>,
  ): ServiceSpec {
    const wants =
      spec.type === "NodePort" ||
      (spec.type === "LoadBalancer" && spec.allocateLoadBalancerNodePorts !== false);
    const ports = (spec.ports ?? []).map((port) => {
      if (spec.type === "ClusterIP") {
        const { nodePort: _, ...rest } = port;
        return rest;
      }
      const nodePort = port.nodePort ?? known.get(portId(port));
      if (nodePort !== undefined) {
        this.#nodePorts.take(nodePort, key);
        return { ...port, nodePort };
      }
      return wants ? { ...port, nodePort: this.#nodePorts.takeAny(key, portId(port)) } : port;
    });
    const checked = this.#allocateHealthCheck(key, spec);
    return ports.length === 0 ? checked : { ...checked, ports };
  }

  /** A load balancer that goes to local endpoints only asks each node whether it has any. */
  #allocateHealthCheck(key: string, spec: ServiceSpec): ServiceSpec {
    if (spec.type !== "LoadBalancer" || spec.externalTrafficPolicy !== "Local") {
      const { healthCheckNodePort: _, ...rest } = spec;
      return rest;
    }
    const port = spec.healthCheckNodePort;
    if (port === undefined || port === 0) {
      return { ...spec, healthCheckNodePort: this.#nodePorts.takeAny(key, "health check") };
    }
    this.#nodePorts.take(port, key);
    return spec;
  }
}

function withDefaults(spec: ServiceSpec): ServiceSpec {
  const type = spec.type ?? "ClusterIP";
  const external = type === "NodePort" || type === "LoadBalancer";
  const { clusterIP, ...rest } = spec;
  return {
    ...rest,
    ...(clusterIP === undefined || clusterIP === "" ? {} : { clusterIP }),
    type,
    sessionAffinity: spec.sessionAffinity ?? "None",
    ...(type === "ExternalName"
      ? {}
      : { internalTrafficPolicy: spec.internalTrafficPolicy ?? "Cluster" }),
    ...(external ? { externalTrafficPolicy: spec.externalTrafficPolicy ?? "Cluster" } : {}),
    ...(spec.ports === undefined
      ? {}
      : {
          ports: spec.ports.map((p) => ({
            ...p,
            protocol: p.protocol ?? "TCP",
            targetPort: p.targetPort ?? p.port,
          })),
        }),
  };
}

function givenAddresses(spec: ServiceSpec): IpAddress[] {
  const texts = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return texts.filter((t) => t !== "None" && t !== "").map(parseIp);
}

function addressesOf(spec: ServiceSpec): Partial<ServiceSpec> {
  const { clusterIP, clusterIPs, ipFamilies, ipFamilyPolicy } = spec;
  return {
    ...(clusterIP === undefined ? {} : { clusterIP }),
    ...(clusterIPs === undefined ? {} : { clusterIPs }),
    ...(ipFamilies === undefined ? {} : { ipFamilies }),
    ...(ipFamilyPolicy === undefined ? {} : { ipFamilyPolicy }),
  };
}

function portId(port: ServicePort): string {
  return `${port.protocol ?? "TCP"} ${port.port}`;
}
