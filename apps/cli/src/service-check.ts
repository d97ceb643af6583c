import type { Cluster, Connection, Endpoint } from "@cnilab/cluster";
import { type EndpointSlice, isAddOn, objectKey, type Protocol, type Service } from "@cnilab/core";
import { tryParsePrefix } from "@cnilab/net";

/** How one Service answered, from end to end. */
export interface ServiceCheck {
  readonly service: Service;
  /** Endpoints that should answer. */
  readonly ready: number;
  /** Addresses of its load balancer that answer the host `internet`. */
  readonly outside: readonly string[];
  /** Ports that did not answer, and why. What policies forbid is no failure. */
  readonly failures: readonly { readonly port: string; readonly connection: Connection }[];
  /** Ports that policies keep from the asking pod, and whether some other pod reaches them. */
  readonly guarded: readonly { readonly port: string; readonly openToOthers: boolean }[];
}

/** So many pods are asked where policies keep the first from a Service. */
const MOST_CLIENTS = 50;

/** Who asks: the first pod by name that has a network of its own, or else the first node. */
export function clientOf(cluster: Cluster): Endpoint {
  const [first] = clientPods(cluster);
  const [node] = cluster.nodes.keys();
  return cluster.endpoint(first ?? `node/${node}`);
}

function clientPods(cluster: Cluster): string[] {
  return cluster.api
    .list("Pod")
    .filter((p) => p.spec.hostNetwork !== true && p.status?.podIP !== undefined && !isAddOn(p))
    .filter((p) => p.status?.phase === "Running")
    .map(objectKey)
    .sort();
}

/** Connects to every port of every Service of the input that has a ready endpoint. */
export function checkServices(cluster: Cluster, client: Endpoint): ServiceCheck[] {
  const ready = readySlices(cluster);
  const others = clientPods(cluster).slice(0, MOST_CLIENTS);
  const services = cluster.api.list("Service").filter((service) => !isAddOn(service));
  return services.map((service) => {
    const slices = ready.get(objectKey(service)) ?? [];
    const ports = portsOf(service, slices);
    const ask = (from: Endpoint, to: Endpoint, where: string) =>
      ports.flatMap(({ port, protocol = "TCP" }): ServiceCheck["failures"] => {
        const connection = cluster.connect({ from, to, port, protocol });
        if (connection.verdict === "allowed") return [];
        return [{ port: `${port}/${protocol}${where}`, connection }];
      });
    const lost = addressesOf(cluster, service).flatMap((to) =>
      ask(client, to, "").map((each) => ({ ...each, to })),
    );
    const isBlocked = ({ connection }: { readonly connection: Connection }) =>
      connection.verdict === "blocked";
    const failures: ServiceCheck["failures"][number][] = lost.filter((each) => !isBlocked(each));
    const guarded = lost.filter(isBlocked).map(({ port, to }) => ({
      port,
      openToOthers: others.some((pod) =>
        ask(cluster.endpoint(pod), to, "").every((each) => each.port !== port),
      ),
    }));
    const count = slices.reduce((sum, { endpoints }) => sum + endpoints.length, 0);
    const outside: string[] = [];
    for (const ip of count === 0 ? [] : ingressOf(cluster, service)) {
      const lostOutside = ask(
        cluster.endpoint("internet"),
        cluster.endpoint(ip),
        ` at ${ip} from internet`,
      );
      failures.push(...lostOutside.filter((each) => !isBlocked(each)));
      if (lostOutside.length === 0) outside.push(ip);
    }
    return { service, ready: count, outside, failures, guarded };
  });
}

/** Addresses of a Service's load balancer that the host `internet` may come to. */
function ingressOf(cluster: Cluster, { spec, status }: Service): string[] {
  const own = cluster.network.kernels.get("internet")?.initNs.device("eth0").addresses ?? [];
  const ranges = (spec.loadBalancerSourceRanges ?? []).flatMap(
    (r) => tryParsePrefix(r.trim()) ?? [],
  );
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip = "" }) => {
    const family = ip.includes(":") ? 6 : 4;
    if (ip === "" || !cluster.config.ipFamilies.includes(family)) return [];
    const may = own.some(({ address }) => ranges.some((r) => r.contains(address)));
    return ranges.length === 0 || may ? [ip] : [];
  });
}

/** By name, which gives its first address, and by the address of its other family. */
function addressesOf(cluster: Cluster, { metadata, spec }: Service): Endpoint[] {
  const byName = cluster.endpoint(`svc/${metadata.name}`, {
    namespace: metadata.namespace ?? "default",
  });
  return [byName, ...(spec.clusterIPs ?? []).slice(1).map((ip) => cluster.endpoint(ip))];
}

/** The name of a headless Service leads to the pods themselves, so their ports count, not the Service's. */
function portsOf(
  { spec }: Service,
  slices: readonly EndpointSlice[],
): { readonly port?: number; readonly protocol?: Protocol }[] {
  if (slices.length === 0) return [];
  return [...((spec.clusterIP === "None" ? slices[0]?.ports : spec.ports) ?? [])];
}

/** What is ready of each Service's endpoints, by the Service's key. */
function readySlices(cluster: Cluster): Map<string, EndpointSlice[]> {
  const found = new Map<string, EndpointSlice[]>();
  for (const slice of cluster.api.list("EndpointSlice")) {
    const endpoints = slice.endpoints.filter((e) => e.conditions?.ready !== false);
    if (slice.addressType === "FQDN" || endpoints.length === 0) continue;
    const { namespace, labels } = slice.metadata;
    const key = `${namespace}/${labels?.["kubernetes.io/service-name"]}`;
    const known = found.get(key);
    if (known === undefined) found.set(key, [{ ...slice, endpoints }]);
    else known.push({ ...slice, endpoints });
  }
  return found;
}
