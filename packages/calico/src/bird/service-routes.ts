import { type EndpointSlice, objectKey, type Service, type Snapshot } from "@cnilab/core";
import { Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import type * as v3 from "../api/v3.ts";

const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

/** Services as one node tells peers of them. */
export interface ServiceRoutes {
  /** What the node advertises, whole ranges first. */
  readonly advertised: readonly Prefix[];
  /** Ranges that go to no kernel, whoever tells of them. */
  readonly rejected: readonly Prefix[];
}

/** Addresses of one Service, and who advertises them. */
interface Advertised {
  readonly prefixes: readonly Prefix[];
  /** `undefined` for everybody. */
  readonly nodes: ReadonlySet<string> | undefined;
}

const NOTHING: ServiceRoutes = { advertised: [], rejected: [] };

/** Whether Services are advertised at all, so that anybody needs to look at them. */
export function advertisesServices(settings: v3.BGPConfigurationSpec): boolean {
  return blocksOf(settings).some(({ cidr }) => Boolean(cidr));
}

/** Where addresses of Services that are advertised can be, each range once. */
export function rangesOf(settings: v3.BGPConfigurationSpec): Prefix[] {
  return [...new Map(prefixesOf(blocksOf(settings)).map((p) => [String(p), p])).values()];
}

function blocksOf(settings: v3.BGPConfigurationSpec): readonly v3.ServiceIPBlock[] {
  const { serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs } = settings;
  return [serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs].flatMap((b) => b ?? []);
}

/** The route generator of confd (`confd/pkg/backends/calico/routes.go`), worked out once for all nodes. */
export class ServiceAdvertisement {
  #key: readonly unknown[] = [];
  #ranges: readonly Prefix[] = [];
  #services: readonly Advertised[] = [];

  /** @param isAdvertiser nodes may be kept from advertising by a label */
  routes(
    settings: v3.BGPConfigurationSpec,
    services: Snapshot<Service>,
    slices: Snapshot<EndpointSlice>,
    node: string,
    isAdvertiser: boolean,
  ): ServiceRoutes {
    this.#update(settings, services, slices);
    if (!isAdvertiser) return { ...NOTHING, rejected: this.#ranges };
    const advertised = new Map<string, Prefix>(this.#ranges.map((p) => [String(p), p]));
    for (const { prefixes, nodes } of this.#services) {
      if (nodes !== undefined && !nodes.has(node)) continue;
      for (const prefix of prefixes) advertised.set(String(prefix), prefix);
    }
    return { advertised: [...advertised.values()], rejected: this.#ranges };
  }

  #update(
    settings: v3.BGPConfigurationSpec,
    services: Snapshot<Service>,
    slices: Snapshot<EndpointSlice>,
  ): void {
    const key = [settings, services, slices];
    if (key.every((part, i) => part === this.#key[i])) return;
    this.#key = key;
    const aggregates = settings.serviceLoadBalancerAggregation !== "Disabled";
    const loadBalancers = prefixesOf(settings.serviceLoadBalancerIPs);
    this.#ranges = [
      ...prefixesOf(settings.serviceClusterIPs),
      ...prefixesOf(settings.serviceExternalIPs).filter((p) => !p.isHost),
      ...(aggregates ? loadBalancers.filter((p) => !p.isHost) : []),
    ];
    const slicesOf = new Map<string, EndpointSlice[]>();
    for (const slice of slices.objects.values()) {
      const { namespace, labels } = slice.metadata;
      const name = `${namespace}/${labels?.[SERVICE_NAME_LABEL]}`;
      const known = slicesOf.get(name);
      if (known === undefined) slicesOf.set(name, [slice]);
      else known.push(slice);
    }
    this.#services = [...services.objects.values()].flatMap((service) => {
      const own = slicesOf.get(objectKey(service)) ?? [];
      return advertise(service, own, settings, aggregates) ?? [];
    });
  }
}

/** advertiseThisService and getAllRoutesForService; `undefined` where nobody advertises it. */
function advertise(
  service: Service,
  slices: readonly EndpointSlice[],
  settings: v3.BGPConfigurationSpec,
  aggregates: boolean,
): Advertised | undefined {
  const { spec, status } = service;
  const { type = "ClusterIP", clusterIP = "", externalTrafficPolicy } = spec;
  if (type === "ExternalName" || clusterIP === "" || clusterIP === "None") return undefined;
  if (slices.length === 0) return undefined;
  const external = prefixesOf(settings.serviceExternalIPs);
  const balanced = prefixesOf(settings.serviceLoadBalancerIPs);
  const ingress = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  const prefixes = [
    ...(prefixesOf(settings.serviceClusterIPs).length > 0 ? (spec.clusterIPs ?? [clusterIP]) : []),
    ...(spec.externalIPs ?? []).filter((ip) => isIn(ip, external)),
    ...ingress.filter((ip) => isIn(ip, balanced)),
  ].flatMap(hostPrefix);
  if (externalTrafficPolicy === "Cluster") {
    const single = (ip: string, of: readonly Prefix[]) =>
      isIn(
        ip,
        of.filter((p) => p.isHost),
      );
    const own = [spec.loadBalancerIP ?? "", ...ingress];
    const isSingle =
      (type === "LoadBalancer" && own.some((ip) => single(ip, balanced))) ||
      (spec.externalIPs ?? []).some((ip) => single(ip, external));
    if (isSingle) return { prefixes, nodes: undefined };
  }
  const isLocal = externalTrafficPolicy === "Local";
  if (!isLocal && aggregates) return undefined;
  const families = new Set(spec.ipFamilies ?? []);
  const ready = slices
    .filter(
      ({ addressType }) => families.size === 0 || families.has(addressType as "IPv4" | "IPv6"),
    )
    .flatMap(({ endpoints }) => endpoints)
    .filter(({ conditions }) => conditions?.ready !== false);
  if (ready.length === 0) return undefined;
  if (!isLocal) return { prefixes, nodes: undefined };
  return { prefixes, nodes: new Set(ready.flatMap(({ nodeName }) => nodeName ?? [])) };
}

export function prefixesOf(blocks: readonly v3.ServiceIPBlock[] | undefined): Prefix[] {
  return (blocks ?? []).flatMap(({ cidr }) => (cidr ? (tryParsePrefix(cidr) ?? []) : []));
}

function isIn(ip: string, prefixes: readonly Prefix[]): boolean {
  const address = tryParseIp(ip);
  return address !== undefined && prefixes.some((p) => p.contains(address));
}

function hostPrefix(ip: string): Prefix[] {
  const address = tryParseIp(ip);
  return address === undefined ? [] : [Prefix.host(address)];
}
