import type { Cluster, Connection } from "@cnilab/cluster";
import {
  formatOrigin,
  isAddOn,
  isPolicyOrigin,
  objectKey,
  type Pod,
  type Protocol,
  type Service,
} from "@cnilab/core";
import type { ServiceContainer } from "@cnilab/docker";
import { formatIp } from "@cnilab/net";
import { stackOwner } from "../docker/docker-endpoint.ts";
import { type DockerPair, dockerMembers, dockerPair } from "../docker/docker-reach.ts";
import type { DockerWorld } from "../docker/docker-world.ts";
import { type ReachMember, runningMembers, workloadOf } from "../reach-members.ts";

/** Who asks from outside on both sides: a host with a way to what was opened, and to nothing behind it. */
export const OUTSIDE = "internet";

/** What became of one way on one side. */
export interface SideResult {
  readonly allowed: boolean;
  readonly verdict: string;
  readonly reason: string;
  /** What was asked for, as `cache.shop-data:6379`. */
  readonly asked: string;
  /** Whether the server saw the client's own address; `undefined` where nobody answered. */
  readonly ownSource: boolean | undefined;
  readonly seenAs: string | undefined;
  /** Why not, in a word that is the same for all of a kind; empty where it is allowed. */
  readonly cause: string;
}

/** One way, on both sides. */
export interface BothPair {
  readonly source: string;
  readonly destination: string;
  readonly protocol: Protocol;
  /** Of the container. */
  readonly port: number;
  readonly docker: SideResult;
  readonly kubernetes: SideResult;
}

/** A workload that both sides have. */
export interface Workload {
  readonly name: string;
  readonly container: ServiceContainer;
  readonly member: ReachMember;
}

/** Workloads by name: those of both sides, and those of one. */
export interface Matched {
  readonly both: readonly Workload[];
  /** Of both sides, and without a network of its own on one of them, or without a container that runs. */
  readonly notCompared: readonly string[];
  readonly dockerOnly: readonly string[];
  readonly kubernetesOnly: readonly string[];
}

/** A Compose service and a workload of the same name are the same; namespaces say nothing there. */
export function matchWorkloads(world: DockerWorld, cluster: Cluster): Matched {
  const members = new Map<string, ReachMember>();
  for (const member of runningMembers(cluster)) {
    const name = withoutNamespace(member.name);
    if (!members.has(name)) members.set(name, member);
  }
  const comparable = new Map(dockerMembers(world).map((member) => [member.service.name, member]));
  const both: Workload[] = [];
  const onDocker = new Set(world.stack.project.services.map(({ name }) => name));
  const onKubernetes = workloadNames(cluster);
  const shared = [...onDocker].filter((name) => onKubernetes.has(name)).sort();
  for (const name of shared) {
    const [container, member] = [comparable.get(name), members.get(name)];
    if (container !== undefined && member !== undefined) both.push({ name, container, member });
  }
  const compared = new Set(both.map(({ name }) => name));
  return {
    both,
    notCompared: shared.filter((name) => !compared.has(name)),
    dockerOnly: [...onDocker].filter((name) => !onKubernetes.has(name)).sort(),
    kubernetesOnly: [...onKubernetes].filter((name) => !onDocker.has(name)).sort(),
  };
}

function workloadNames({ api }: Cluster): ReadonlySet<string> {
  const pods = [...api.list("Pod")].filter((pod) => !isAddOn(pod));
  return new Set(pods.map((pod) => withoutNamespace(workloadOf(api, pod))));
}

function withoutNamespace(name: string): string {
  return name.slice(name.indexOf("/") + 1);
}

/** All ways between workloads, and in from outside, on all ports that either side has. */
export function bothPairs(
  world: DockerWorld,
  cluster: Cluster,
  workloads: readonly Workload[],
): BothPair[] {
  const sources = [...workloads, undefined];
  return sources.flatMap((source) =>
    workloads.flatMap((destination) => {
      if (source === destination) return [];
      return portsOf(destination).map(({ protocol, port }) => ({
        source: source?.name ?? OUTSIDE,
        destination: destination.name,
        protocol,
        port,
        docker: onDocker(world, source, destination, protocol, port),
        kubernetes: onKubernetes(cluster, source, destination, protocol, port),
      }));
    }),
  );
}

function portsOf({ container, member }: Workload): ReachMember["ports"] {
  const ports = [
    ...member.ports,
    ...container.ports.map(({ protocol, port }) => ({
      protocol: protocol.toUpperCase() as Protocol,
      port,
    })),
  ];
  const found = new Map(ports.map((port) => [`${port.port}/${port.protocol}`, port]));
  return [...found.values()];
}

function onDocker(
  world: DockerWorld,
  source: Workload | undefined,
  { container }: Workload,
  protocol: Protocol,
  port: number,
): SideResult {
  const asked = { protocol: protocol.toLowerCase() as "tcp" | "udp" | "sctp", port };
  const pair = dockerPair(world, source?.name ?? OUTSIDE, container, asked);
  const netns = source?.container.container.netns ?? world.internet.initNs;
  const own = netns.devices.flatMap((dev) => dev.addresses.map(({ address }) => formatIp(address)));
  return resultOf(
    pair.connection,
    pair.asked,
    own,
    dockerCause(world, pair, source, container),
    pair.reason,
  );
}

function dockerCause(
  world: DockerWorld,
  { verdict, connection }: DockerPair,
  source: Workload | undefined,
  { container }: ServiceContainer,
): string {
  if (verdict === "allowed") return "";
  if (verdict === "refused") return "nobody listens";
  if (source === undefined) return "not published";
  const { endpoints } = stackOwner(world, container);
  const theirs = new Set(endpoints.map(({ network }) => network));
  const asker = stackOwner(world, source.container.container);
  const shared = asker.endpoints.some(({ network }) => theirs.has(network));
  const rule = connection.drops.find((drop) => drop.rule !== undefined)?.rule;
  return shared ? `in one network, and ${rule?.location ?? verdict}` : "no network in common";
}

/** By the name of a Service that leads to the port, as pods would ask; by the pod's address where none does. */
function onKubernetes(
  cluster: Cluster,
  source: Workload | undefined,
  destination: Workload,
  protocol: Protocol,
  port: number,
): SideResult {
  const { pod } = destination.member;
  const found = servicePort(cluster, pod, protocol, port, source === undefined);
  const from = cluster.endpoint(source === undefined ? OUTSIDE : objectKey(source.member.pod));
  const home = pod.metadata.namespace as string;
  const namespace = source?.member.pod.metadata.namespace;
  const name = found === undefined ? undefined : found.service.metadata.name;
  const asked =
    name === undefined
      ? `${pod.status?.podIP}:${port}`
      : `${namespace === undefined || namespace === home ? name : `${name}.${home}`}:${found?.port}`;
  const text =
    name === undefined
      ? objectKey(pod)
      : source === undefined
        ? `${home}/svc/${name}`
        : asked.replace(/:\d+$/, "");
  const to = cluster.endpoint(text, namespace === undefined ? {} : { namespace });
  cluster.forgetConnections();
  const connection = cluster.connect({ from, to, port: found?.port ?? port, protocol });
  const own =
    source === undefined
      ? OUTSIDE_ADDRESSES
      : (source.member.pod.status?.podIPs ?? []).map(({ ip }) => ip);
  const cause = kubernetesCause(connection, source, found?.service);
  return resultOf(connection, asked, own, cause, connection.reason);
}

/** Of the host `internet` in a cluster's world (cluster src/underlay/outside-world.ts). */
const OUTSIDE_ADDRESSES: readonly string[] = ["203.0.113.10", "2001:db8:203::a"];

function kubernetesCause(
  { verdict, drops, lookup }: Connection,
  source: Workload | undefined,
  service: Service | undefined,
): string {
  if (verdict === "allowed") return "";
  const dropped = [...drops, ...(lookup?.drops ?? [])];
  const policy = dropped.find(({ rule }) => isPolicyOrigin(rule?.origin))?.rule?.origin;
  if (policy !== undefined) {
    const { kind, name, namespace } = policy;
    return formatOrigin({ kind, name, ...(namespace === undefined ? {} : { namespace }) });
  }
  if (verdict === "refused") return "nobody listens";
  if (source === undefined) {
    return service === undefined
      ? "no Service"
      : `Service of type ${service.spec.type ?? "ClusterIP"}`;
  }
  return verdict;
}

/** A Service whose selector takes the pod and whose port leads to the container's; from outside the most open one. */
function servicePort(
  { api }: Cluster,
  pod: Pod,
  protocol: Protocol,
  port: number,
  mostOpen: boolean,
): { readonly service: Service; readonly port: number } | undefined {
  const labels = pod.metadata.labels ?? {};
  const found = [...api.list("Service", pod.metadata.namespace)]
    .filter(({ spec }) => {
      const selector = Object.entries(spec.selector ?? {});
      return selector.length > 0 && selector.every(([key, value]) => labels[key] === value);
    })
    .flatMap((service) => {
      // A headless Service is but a name: pods are asked on their own ports, declared or not.
      if (service.spec.clusterIP === "None") return [{ service, port }];
      const fitting = (service.spec.ports ?? []).find(
        (each) =>
          (each.protocol ?? "TCP") === protocol &&
          targetPort(pod, each.targetPort ?? each.port) === port,
      );
      return fitting === undefined ? [] : [{ service, port: fitting.port }];
    });
  const openness = ({ service }: { readonly service: Service }) =>
    ["ClusterIP", "NodePort", "LoadBalancer"].indexOf(service.spec.type ?? "ClusterIP");
  return mostOpen ? found.sort((x, y) => openness(y) - openness(x))[0] : found[0];
}

function targetPort({ spec }: Pod, port: number | string): number | undefined {
  if (typeof port === "number") return port;
  return spec.containers.flatMap((c) => c.ports ?? []).find(({ name }) => name === port)
    ?.containerPort;
}

function resultOf(
  { verdict, seenAs }: Pick<Connection, "verdict" | "seenAs">,
  asked: string,
  own: readonly string[],
  cause: string,
  reason: string,
): SideResult {
  const allowed = verdict === "allowed";
  const ownSource = allowed && seenAs !== undefined ? own.includes(seenAs) : undefined;
  return { allowed, verdict, reason, asked, ownSource, seenAs, cause };
}
