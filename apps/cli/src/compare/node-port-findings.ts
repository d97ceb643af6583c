import { type Cluster, slicesOf } from "@cnilab/cluster";
import { isAddOn, objectKey, type Service } from "@cnilab/core";
import { addToIp, formatIp } from "@cnilab/net";
import type { NodePortFinding, NodePortOutcome } from "./finding.ts";
import { seenSource } from "./seen-source.ts";

/** Services of which copies are asked; one that answers everywhere is compared. */
const MOST_SERVICES = 5;
/** Where in the nodes' network the client begins to look for an address that nobody has. */
const CLIENT_HOST = 65_000;

const POLICIES = ["Cluster", "Local"] as const;

/**
 * Adds two copies of a Service with a node port each, one for either externalTrafficPolicy, and asks them from a host beside the
 * nodes. The input need not have such Services, and where it has, they are of one policy.
 */
export function nodePortFindings(cluster: Cluster): Map<string, NodePortFinding> {
  const services = candidates(cluster);
  cluster.apply(services.flatMap((service) => POLICIES.map((policy) => copyOf(service, policy))));
  cluster.settle();
  const client = freeAddress(cluster);
  return new Map(
    services.map((service) => [
      objectKey(service),
      {
        cluster: ask(cluster, service, "Cluster", client),
        local: ask(cluster, service, "Local", client),
      },
    ]),
  );
}

/** Those that are open to the outside already first: policies are more likely to let strangers in. */
function candidates({ api }: Cluster): Service[] {
  const isOpen = ({ spec }: Service) => spec.type === "LoadBalancer" || spec.type === "NodePort";
  const all = api
    .list("Service")
    .filter((service) => !isAddOn(service) && firstPort(service) !== undefined)
    .filter(({ spec }) => Object.keys(spec.selector ?? {}).length > 0)
    .sort((x, y) => (objectKey(x) < objectKey(y) ? -1 : 1));
  return [...all.filter(isOpen), ...all.filter((s) => !isOpen(s))].slice(0, MOST_SERVICES);
}

function firstPort({ spec }: Service): NonNullable<Service["spec"]["ports"]>[number] | undefined {
  return spec.ports?.find(({ protocol = "TCP" }) => protocol === "TCP");
}

function copyOf(service: Service, policy: (typeof POLICIES)[number]): Service {
  const { port = 0, targetPort } = firstPort(service) ?? {};
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: nameOf(service, policy), namespace: service.metadata.namespace ?? "default" },
    spec: {
      type: "NodePort",
      externalTrafficPolicy: policy,
      ...(service.spec.selector === undefined ? {} : { selector: service.spec.selector }),
      ports: [{ port, protocol: "TCP", ...(targetPort === undefined ? {} : { targetPort }) }],
    },
  } as Service;
}

/** No longer than a name may be (RFC 1035). */
function nameOf({ metadata }: Service, policy: (typeof POLICIES)[number]): string {
  return `cnilab-${policy.toLowerCase()}-${metadata.name}`.slice(0, 63).replace(/-+$/, "");
}

function ask(
  cluster: Cluster,
  original: Service,
  policy: (typeof POLICIES)[number],
  client: string,
): NodePortOutcome {
  const namespace = original.metadata.namespace ?? "default";
  const service = cluster.api.get("Service", `${namespace}/${nameOf(original, policy)}`);
  const port = service?.spec.ports?.[0]?.nodePort;
  const node = service && nodeFor(cluster, service, policy);
  if (port === undefined || node === undefined) return { verdict: "no pod" };
  cluster.forgetConnections();
  const { verdict, seenAs } = cluster.connect({
    from: cluster.endpoint(client),
    to: cluster.endpoint(`node/${node}`),
    port,
  });
  if (verdict !== "allowed" || seenAs === undefined) return { verdict };
  return { verdict, seenAs: seenSource(cluster, seenAs, new Set([client])) };
}

/** For Local a node that has a pod; for Cluster a ready one that has none, if there is one. */
function nodeFor(
  { api, nodes }: Cluster,
  service: Service,
  policy: (typeof POLICIES)[number],
): string | undefined {
  const having = new Set<string>();
  for (const { endpoints } of slicesOf(api, objectKey(service))) {
    for (const { nodeName } of endpoints) if (nodeName !== undefined) having.add(nodeName);
  }
  if (having.size === 0) return undefined;
  const [first] = [...having].sort();
  if (policy === "Local") return first;
  const other = [...nodes.values()].find(({ name, ready }) => ready && !having.has(name));
  return other?.name ?? first;
}

function freeAddress({ underlay }: Cluster): string {
  const [range] = underlay.nodeNetworks;
  if (range === undefined) throw new Error("the nodes have no network");
  for (let host = CLIENT_HOST; ; host--) {
    const address = addToIp(range.address, host);
    if (underlay.machineAt(address) === undefined) return formatIp(address);
  }
}
