import type { Cluster } from "@cnilab/cluster";
import type { NetNamespace } from "@cnilab/linux";
import { formatIp, isLinkLocal } from "@cnilab/net";
import { ANY_PORT, machinesOf, type RealAnswer } from "./real-sockets.ts";

/** Who asks: an endpoint as the command line writes it, and where its programs run. */
export interface Source {
  readonly name: string;
  readonly netns: NetNamespace;
}

/** Whom one asks. */
export interface Target {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: "TCP" | "UDP";
  /** How many may answer. */
  readonly backends: number;
}

/** Tries after which the model has shown every outcome: of three equal ones, one is missed in 1 of 10^10 cases. */
const MOST_TRIES = 60;
/** Nobody listens on it. */
const CLOSED_PORT = 9;

/** Every pod, every node, and somebody outside. */
export function sourcesOf(cluster: Cluster): Source[] {
  const nodes = [...cluster.nodes.values()];
  const pods = cluster.api.list("Pod").map(({ metadata, spec }) => {
    const netns = cluster.nodes.get(spec.nodeName ?? "")?.kubelet.sandboxOf(metadata.uid ?? "");
    return { name: `${metadata.namespace}/${metadata.name}`, netns: netns as NetNamespace };
  });
  const internet = cluster.network.kernels.get("internet")?.initNs as NetNamespace;
  return [
    ...pods,
    ...nodes.map((node) => ({ name: `node/${node.name}`, netns: node.kernel.initNs })),
    { name: "internet", netns: internet },
  ];
}

/** Every port of every pod and one that is closed, every Service by each of its ways, somebody outside. */
export function targetsOf(cluster: Cluster): Target[] {
  const world = cluster.network.kernels.get("internet")?.initNs.devices ?? [];
  const outside = world
    .flatMap((dev) => (dev.isLoopback ? [] : dev.addresses))
    .filter(({ address }) => !isLinkLocal(address))
    .map(({ address }) => target("internet", formatIp(address), ANY_PORT, "TCP", 1));
  return [...podTargets(cluster), ...serviceTargets(cluster), ...outside];
}

function podTargets(cluster: Cluster): Target[] {
  return cluster.api.list("Pod").flatMap(({ metadata, spec, status }) =>
    (status?.podIPs ?? []).flatMap(({ ip }) => {
      const name = `${metadata.namespace}/${metadata.name}`;
      const open = spec.containers.flatMap((container) => container.ports ?? []);
      return [
        ...open.map((port) => target(name, ip, port.containerPort, port.protocol, 1)),
        target(name, ip, CLOSED_PORT, "TCP", 0),
      ];
    }),
  );
}

function serviceTargets(cluster: Cluster): Target[] {
  const nodeAddresses = [...cluster.nodes.values()].flatMap((node) => node.addresses.map(formatIp));
  return cluster.api.list("Service").flatMap(({ metadata, spec }) => {
    const name = `svc ${metadata.namespace}/${metadata.name}`;
    const backends = endpointCount(cluster, metadata.namespace ?? "", metadata.name);
    const families = new Set((spec.clusterIPs ?? []).map((ip) => ip.includes(":")));
    return (spec.ports ?? []).flatMap(({ port, nodePort, protocol }) => [
      ...(spec.clusterIPs ?? []).map((ip) => target(name, ip, port, protocol, backends)),
      ...nodeAddresses
        .filter((ip) => nodePort !== undefined && families.has(ip.includes(":")))
        .map((ip) => target(name, ip, nodePort as number, protocol, backends)),
    ]);
  });
}

function target(
  name: string,
  address: string,
  port: number,
  protocol: string | undefined,
  backends: number,
): Target {
  return {
    name: `${name} at ${address} port ${port}`,
    address,
    port,
    protocol: protocol === "UDP" ? "UDP" : "TCP",
    backends,
  };
}

function endpointCount(cluster: Cluster, namespace: string, service: string): number {
  const slices = cluster.api
    .list("EndpointSlice", namespace)
    .filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === service);
  return new Set(slices.flatMap((slice) => slice.endpoints).map((e) => e.targetRef?.name)).size;
}

/** What may become of a question. */
export interface Modelled {
  readonly possible: ReadonlySet<string>;
  /**
   * Whether it teaches a machine a path's MTU. What comes after it may then end otherwise: a node's tunnel to another
   * node has the room that the node has learnt of for itself, less its headers, and below 1280 nothing is learnt any more.
   */
  readonly teaches: boolean;
}

/** What `probe` says, as often as it can say something else, in a cluster that has learnt no path's MTU yet. */
export function modelled(
  cluster: Cluster,
  source: Source,
  { address, ...target }: Target,
): Modelled {
  const request = {
    from: cluster.endpoint(source.name),
    to: cluster.endpoint(address),
    port: target.port,
    protocol: target.protocol,
  };
  const machines = machinesOf(cluster.network);
  const possible = new Set<string>();
  let teaches = false;
  for (let tries = 0; tries < MOST_TRIES; tries++) {
    for (const machine of machines) machine.forgetPathMtus();
    const { verdict, exchange, seenAs } = cluster.connect(request);
    possible.add(inWords(verdict, exchange?.report?.owner, seenAs));
    teaches ||= machines.some((machine) => machine.pathMtus.size > 0);
    if (possible.size >= target.backends) break;
  }
  return { possible, teaches };
}

/** What a real client heard, in the words of `probe`. */
export function heard({ owner, seen, errno, stalled }: RealAnswer): string {
  if (owner !== undefined) return inWords("allowed", owner, seen);
  if (stalled) return "stalls";
  return errno === "ECONNREFUSED" || errno === "ECONNRESET" ? "refused" : "unreachable";
}

function inWords(verdict: string, owner: string | undefined, seen: string | undefined): string {
  if (verdict === "allowed") return `answered by ${owner}, which saw ${seen}`;
  return verdict === "blocked" ? "unreachable" : verdict; // nobody tells a client of a policy
}
