import { type ApiClient, objectKey, type Service, type ServicePort } from "@cnilab/core";
import type { Drop } from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";
import type { AskedUrl } from "./asked-url.ts";

/** Why nobody took a connection to an address of a Service: it has no such port, or nobody comes to it this way. */
export function serviceProblem(
  api: ApiClient,
  { port, outside }: AskedUrl,
  address: IpAddress,
  drops: readonly Drop[],
): string | undefined {
  const ip = formatIp(address);
  const services = api.list("Service");
  const inner = services.find(({ spec }) => spec.clusterIPs?.includes(ip) === true);
  if (outside && inner !== undefined) {
    return `${ip} is the cluster IP of Service ${objectKey(inner)}, to which nothing outside the cluster has a way: ask a load balancer, a node port, an Ingress or a Gateway`;
  }
  const isNode = api
    .list("Node")
    .some(({ status }) => status?.addresses?.some((a) => a.address === ip));
  const holders = services.filter((service) => addressesOf(service).includes(ip));
  const asked =
    holders.find((service) => portOf(service, port) !== undefined) ??
    services.find(({ spec }) => isNode && spec.ports?.some((p) => p.nodePort === port));
  if (asked !== undefined) return withoutLocal(api, asked, drops);
  const [holder] = holders;
  // A node's address stands for more than the Services that have it as an external IP.
  if (holder === undefined || isNode) return undefined;
  const has = (holder.spec.ports ?? []).map(
    (p) => `${p.name === undefined ? "" : `${p.name} `}${p.port}`,
  );
  return `Service ${objectKey(holder)} has no port ${port}; it has ${has.join(", ")}`;
}

/** The node that dropped it has no endpoint of a Service that takes connections on such nodes alone. */
function withoutLocal(
  api: ApiClient,
  service: Service,
  drops: readonly Drop[],
): string | undefined {
  if (service.spec.externalTrafficPolicy !== "Local") return undefined;
  const { namespace, name } = service.metadata;
  const withOne = new Set(
    api
      .list("EndpointSlice", namespace)
      .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === name)
      .flatMap(({ endpoints }) => endpoints)
      .filter(({ conditions }) => conditions?.ready !== false)
      .map(({ nodeName }) => nodeName),
  );
  const node = drops
    .map(({ netns }) => netns.kernel.hostname)
    .find((host) => api.get("Node", host) !== undefined && !withOne.has(host));
  if (node === undefined) return undefined;
  const nodes = [...withOne].join(", ");
  return `Service ${objectKey(service)} takes connections from outside on nodes with a ready endpoint alone (externalTrafficPolicy: Local), and ${node} has none; ${nodes === "" ? "no node has" : `${nodes} has`}`;
}

function portOf({ spec }: Service, port: number): ServicePort | undefined {
  return spec.ports?.find((p) => p.port === port);
}

function addressesOf({ spec, status }: Service): string[] {
  const balanced = (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? "");
  return [...(spec.clusterIPs ?? []), ...(spec.externalIPs ?? []), ...balanced];
}
