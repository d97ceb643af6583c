import type {
  EndpointSlice,
  Kind,
  Kinds,
  LabelSelector,
  Namespace,
  Pod,
  Service,
  WatchEvent,
} from "@cnilab/core";
import { type ApiClient, type Clock, objectKey, selects } from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import { Subscription } from "rxjs";

/** What CoreDNS keeps of a Service (`plugin/kubernetes/object/service.go`). */
export interface DnsService {
  readonly name: string;
  readonly namespace: string;
  readonly clusterIps: readonly string[];
  readonly headless: boolean;
  /** Undefined for every type but ExternalName. */
  readonly externalName?: string;
  readonly ports: readonly DnsPort[];
}

export interface DnsPort {
  readonly name: string;
  readonly protocol: string;
  /** -1 stands for a Service or slice without ports. */
  readonly port: number;
}

/** What it keeps of an EndpointSlice (`object/endpoint.go`): its ready endpoints. */
export interface DnsEndpoints {
  readonly service: string;
  readonly namespace: string;
  readonly addresses: readonly DnsEndpointAddress[];
  readonly ports: readonly DnsPort[];
}

export interface DnsEndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
  /** Of the object that the address belongs to, where the name can be a label. */
  readonly targetName?: string;
  /** In lower case. */
  readonly zone?: string;
}

export interface DnsPod {
  readonly name: string;
  readonly namespace: string;
  readonly ips: readonly string[];
}

export interface KubernetesIndexOptions {
  readonly api: Pick<ApiClient, "watch">;
  readonly clock: Clock;
  readonly watchEndpoints: boolean;
  readonly watchPods: boolean;
  readonly selector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
}

const NO_PORTS: readonly DnsPort[] = [{ name: "", protocol: "", port: -1 }];
/** Longest label of a name. */
const MAX_LABEL = 63;

/** The cluster's objects by what questions are asked by; kept up to date by watches (`plugin/kubernetes/controller.go`). */
export class KubernetesIndex {
  /** Virtual milliseconds of the last change that an answer can show. */
  modifiedAt: number;
  readonly #clock: Clock;
  readonly #subscriptions = new Subscription();
  readonly #namespaces = new Set<string>();
  readonly #services = new Map<string, DnsService>();
  readonly #servicesByIp = new Groups<IpAddress, DnsService>();
  readonly #endpointsByService = new Groups<string, DnsEndpoints>();
  readonly #endpointsByIp = new Groups<IpAddress, DnsEndpoints>();
  readonly #podsByIp = new Groups<string, DnsPod>();
  readonly #slices = new Map<string, DnsEndpoints>();
  readonly #pods = new Map<string, DnsPod>();

  constructor(options: KubernetesIndexOptions) {
    const { api, clock, selector, namespaceSelector } = options;
    this.#clock = clock;
    this.modifiedAt = clock.now;
    const watch = <K extends Kind>(
      kind: K,
      chosenBy: LabelSelector | undefined,
      put: (object: Kinds[K] | undefined, key: string) => void,
    ): void => {
      const next = ({ type, object }: WatchEvent<Kinds[K]>): void => {
        const chosen = chosenBy === undefined || selects(chosenBy, object.metadata.labels);
        put(type === "DELETED" || !chosen ? undefined : object, objectKey(object));
      };
      this.#subscriptions.add(api.watch(kind).subscribe(next));
    };
    watch("Namespace", namespaceSelector, (namespace, key) => this.#putNamespace(namespace, key));
    watch("Service", selector, (service, key) => this.#putService(service, key));
    if (options.watchEndpoints) {
      watch("EndpointSlice", selector, (slice, key) => this.#putSlice(slice, key));
    }
    if (options.watchPods) watch("Pod", selector, (pod, key) => this.#putPod(pod, key));
  }

  /** Ends the watches. */
  close(): void {
    this.#subscriptions.unsubscribe();
  }

  hasNamespace(name: string): boolean {
    return this.#namespaces.has(name);
  }

  service(namespace: string, name: string): DnsService | undefined {
    return this.#services.get(`${namespace}/${name}`);
  }

  /** The Service that has this cluster IP. */
  serviceOf(address: IpAddress): Iterable<DnsService> {
    return this.#servicesByIp.of(address);
  }

  endpoints(namespace: string, service: string): Iterable<DnsEndpoints> {
    return this.#endpointsByService.of(`${namespace}/${service}`);
  }

  endpointsOf(address: IpAddress): Iterable<DnsEndpoints> {
    return this.#endpointsByIp.of(address);
  }

  podsOf(ip: string): Iterable<DnsPod> {
    return this.#podsByIp.of(ip);
  }

  #putNamespace(namespace: Namespace | undefined, key: string): void {
    if (namespace === undefined) this.#namespaces.delete(key);
    else this.#namespaces.add(key);
  }

  #putService(object: Service | undefined, key: string): void {
    const old = this.#services.get(key);
    const service = object === undefined ? undefined : dnsService(object);
    if (old !== undefined) {
      for (const ip of addressesOf(old.clusterIps)) this.#servicesByIp.remove(ip, key);
      this.#services.delete(key);
    }
    if (service !== undefined) {
      this.#services.set(key, service);
      for (const ip of addressesOf(service.clusterIps)) this.#servicesByIp.add(ip, key, service);
    }
    if (old === undefined && service === undefined) return;
    // A Service's serial number ignores its cluster IPs (controller.go serviceModified).
    const seen = ({ externalName, ports }: DnsService): string =>
      JSON.stringify([externalName, ports]);
    if (old === undefined || service === undefined || seen(old) !== seen(service)) this.#modified();
  }

  #putSlice(object: EndpointSlice | undefined, key: string): void {
    const old = this.#slices.get(key);
    const slice = object === undefined ? undefined : dnsEndpoints(object);
    if (old !== undefined) {
      this.#endpointsByService.remove(`${old.namespace}/${old.service}`, key);
      for (const ip of addressesOf(old.addresses.map(({ ip }) => ip))) {
        this.#endpointsByIp.remove(ip, key);
      }
      this.#slices.delete(key);
    }
    if (slice !== undefined) {
      this.#slices.set(key, slice);
      this.#endpointsByService.add(`${slice.namespace}/${slice.service}`, key, slice);
      for (const ip of addressesOf(slice.addresses.map(({ ip }) => ip))) {
        this.#endpointsByIp.add(ip, key, slice);
      }
    }
    if (old === undefined && slice === undefined) return;
    if (old === undefined || slice === undefined || JSON.stringify(old) !== JSON.stringify(slice)) {
      this.#modified();
    }
  }

  #putPod(object: Pod | undefined, key: string): void {
    const old = this.#pods.get(key);
    const pod = object === undefined ? undefined : dnsPod(object);
    for (const ip of old?.ips ?? []) this.#podsByIp.remove(ip, key);
    this.#pods.delete(key);
    if (pod !== undefined) {
      this.#pods.set(key, pod);
      for (const ip of pod.ips) this.#podsByIp.add(ip, key, pod);
    }
    if (old?.ips.join() !== pod?.ips.join()) this.#modified();
  }

  #modified(): void {
    this.modifiedAt = this.#clock.now;
  }
}

/** Several values under one key, each with a key of its own. */
class Groups<K, V> {
  readonly #groups = new Map<K, Map<string, V>>();

  of(key: K): Iterable<V> {
    return this.#groups.get(key)?.values() ?? [];
  }

  add(key: K, own: string, value: V): void {
    const group = this.#groups.get(key);
    if (group === undefined) this.#groups.set(key, new Map([[own, value]]));
    else group.set(own, value);
  }

  remove(key: K, own: string): void {
    const group = this.#groups.get(key);
    group?.delete(own);
    if (group?.size === 0) this.#groups.delete(key);
  }
}

function addressesOf(ips: readonly string[]): Set<IpAddress> {
  return new Set(ips.map(tryParseIp).filter((ip) => ip !== undefined));
}

function dnsService({ metadata, spec }: Service): DnsService {
  const ips = spec.clusterIPs ?? [];
  const clusterIps = ips.length > 0 ? ips : [spec.clusterIP ?? ""];
  const ports = (spec.ports ?? []).map(({ name, protocol, port }) => ({
    name: name ?? "",
    protocol: protocol ?? "TCP",
    port,
  }));
  return {
    name: metadata.name,
    namespace: metadata.namespace ?? "",
    clusterIps,
    headless: clusterIps[0] === "None",
    ...(spec.type === "ExternalName" ? { externalName: spec.externalName ?? "" } : {}),
    ports: ports.length > 0 ? ports : NO_PORTS,
  };
}

function dnsEndpoints({ metadata, endpoints, ports }: EndpointSlice): DnsEndpoints {
  const addresses: DnsEndpointAddress[] = [];
  for (const { addresses: ips, conditions, hostname, targetRef, zone } of endpoints ?? []) {
    // Absent counts as ready; whether it is terminating or serving does not matter.
    if (conditions?.ready === false) continue;
    for (const ip of ips) {
      addresses.push({
        ip,
        ...(hostname === undefined || hostname === "" ? {} : { hostname }),
        ...(targetRef === undefined || targetRef.name.length > MAX_LABEL
          ? {}
          : { targetName: targetRef.name }),
        ...(zone === undefined ? {} : { zone: zone.toLowerCase() }),
      });
    }
  }
  const known = (ports ?? []).map(({ name, protocol, port }) => ({
    name: name ?? "",
    protocol: protocol ?? "TCP",
    port: port ?? -1,
  }));
  return {
    service: metadata.labels?.["kubernetes.io/service-name"] ?? "",
    namespace: metadata.namespace ?? "",
    addresses,
    ports: known.length > 0 ? known : NO_PORTS,
  };
}

/** Pods that have ended, or are about to go, are not there for CoreDNS. */
function dnsPod({ metadata, status }: Pod): DnsPod | undefined {
  if (metadata.deletionTimestamp !== undefined) return undefined;
  if (status === undefined || ["Succeeded", "Failed", "Unknown"].includes(status.phase))
    return undefined;
  const all = [status.podIP, ...(status.podIPs ?? []).map(({ ip }) => ip)];
  const ips = [...new Set(all.filter((ip) => ip !== undefined && ip !== ""))] as string[];
  return { name: metadata.name, namespace: metadata.namespace ?? "", ips };
}
