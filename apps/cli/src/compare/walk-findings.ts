import type { Cluster, Connection, ConnectRequest, Endpoint } from "@cnilab/cluster";
import { isAddOn, objectKey, type Pod, SeededRandom } from "@cnilab/core";
import { type ConnectionMeasure, measureConnection, trackedEntries } from "@cnilab/inspect";
import { type Kernel, Trace } from "@cnilab/linux";
import type { ReachMember } from "../reach-members.ts";
import type { ConnectionFigures, Pair, PairOutcome, WalkFinding } from "./finding.ts";
import { pairName } from "./pair-sample.ts";
import { seenSource } from "./seen-source.ts";
import { connectionFigures } from "./walk-figures.ts";

/**
 * So many pairs of each kind are measured on each CNI. One that all let through is compared, and which that is shows only when the
 * clusters have gone.
 */
const MOST_MEASURED = 150;

export interface WalkFindings {
  readonly sameNode: ReadonlyMap<string, WalkFinding>;
  readonly acrossNodes: ReadonlyMap<string, WalkFinding>;
}

/** Measures pairs that get through, in an order that is the same for all CNIs. */
export function walkFindings(
  cluster: Cluster,
  members: ReadonlyMap<string, ReachMember>,
  pairs: readonly Pair[],
  reach: readonly PairOutcome[],
  seed: number,
): WalkFindings {
  const sameNode = new Map<string, WalkFinding>();
  const acrossNodes = new Map<string, WalkFinding>();
  const services = servicesByPod(cluster);
  for (const i of shuffled(pairs.length, seed)) {
    const pair = pairs[i] as Pair;
    if (reach[i]?.verdict !== "allowed" || pair.protocol !== "TCP") continue;
    const from = members.get(pair.source)?.pod as Pod;
    const to = members.get(pair.destination)?.pod as Pod;
    const isNear = from.spec.nodeName === to.spec.nodeName;
    const found = isNear ? sameNode : acrossNodes;
    if (found.size >= MOST_MEASURED) continue;
    const direct = measured(cluster, from, cluster.endpoint(objectKey(to)), pair.port);
    if (direct === undefined) continue;
    const ends = services.get(objectKey(to)) ?? [];
    const service = isNear ? undefined : throughService(cluster, from, ends, pair.port);
    found.set(pairName(pair), { direct, ...(service === undefined ? {} : { service }) });
  }
  return { sameNode, acrossNodes };
}

/** A port of a Service that leads to a port of a pod. */
interface ServicePort {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly targetPort: number;
}

/** The first Service of the pod that answers from another node. */
function throughService(
  cluster: Cluster,
  from: Pod,
  services: readonly ServicePort[],
  targetPort: number,
): WalkFinding["service"] {
  for (const each of services) {
    if (each.targetPort !== targetPort) continue;
    const figures = measured(cluster, from, cluster.endpoint(each.address), each.port);
    if (figures?.first.linkMtu !== undefined)
      return { name: `${each.name}:${each.port}`, ...figures };
  }
  return undefined;
}

/** One connection, as if it were the first, between machines that know each other. */
function measured(
  cluster: Cluster,
  from: Pod,
  to: Endpoint,
  port: number,
): ConnectionFigures | undefined {
  const request: ConnectRequest = { from: cluster.endpoint(objectKey(from)), to, port };
  const { trace, bpf, connection } = traced(cluster, request);
  const measure = measureConnection(trace);
  if (connection.verdict !== "allowed" || measure === undefined) return undefined;
  if (connection.seenAs === undefined) return undefined;
  const own = new Set((from.status?.podIPs ?? []).map(({ ip }) => ip));
  return {
    ...connectionFigures(measure),
    seenAs: seenSource(cluster, connection.seenAs, own),
    left: { ...keptBy(measure), bpf },
  };
}

interface Traced {
  readonly trace: Trace;
  /** Entries that are new in eBPF maps that packets fill. */
  readonly bpf: number;
  readonly connection: Connection;
}

/** A Service with several pods may choose another one each time: so often a walk is tried until it comes where one has been. */
const MOST_TRIES = 10;

/** Questions for neighbours, handshakes of tunnels and floods belong to connections before it. */
function traced(cluster: Cluster, request: ConnectRequest): Traced {
  const machines = new Set<Kernel>();
  for (let i = 0; ; i++) {
    const next = walk(cluster, request, machines);
    const passed = machinesOf(cluster, next.trace);
    if (passed.every((kernel) => machines.has(kernel)) || i === MOST_TRIES) return next;
    for (const kernel of passed) machines.add(kernel);
  }
}

/** @param machines where new entries are counted */
function walk(cluster: Cluster, request: ConnectRequest, machines: ReadonlySet<Kernel>): Traced {
  cluster.forgetConnections();
  const count = () => [...machines].reduce((sum, kernel) => sum + trackedEntries(kernel).bpf, 0);
  const before = count();
  const trace = new Trace();
  const connection = cluster.connect({ ...request, trace });
  return { trace, connection, bpf: count() - before };
}

/** What conntrack began to keep. */
function keptBy({ first, answer, later }: ConnectionMeasure): { own: number; tunnel: number } {
  const walks = [first, answer, later];
  const all = walks.reduce((sum, { connections }) => sum + connections, 0);
  const tunnel = walks.reduce((sum, { tunnelConnections }) => sum + tunnelConnections, 0);
  return { own: all - tunnel, tunnel };
}

/** The nodes that packets passed. */
function machinesOf(cluster: Cluster, trace: Trace): Kernel[] {
  const kernels = new Set(trace.steps.map(({ netns }) => netns.kernel));
  return [...kernels].filter((kernel) => cluster.nodes.get(kernel.hostname)?.kernel === kernel);
}

/** Ports of Services by the pods that are behind them; those of few pods first, which are the same for every CNI. */
function servicesByPod({ api }: Cluster): Map<string, ServicePort[]> {
  const found = new Map<string, (ServicePort & { readonly pods: number })[]>();
  for (const slice of api.list("EndpointSlice")) {
    const { namespace, labels } = slice.metadata;
    const name = labels?.["kubernetes.io/service-name"];
    const service = api.get("Service", `${namespace}/${name}`);
    const address = service?.spec.clusterIP;
    if (service === undefined || isAddOn(service)) continue;
    if (address === undefined || address === "None" || address === "") continue;
    for (const { port, name: portName } of service.spec.ports ?? []) {
      const target = slice.ports?.find((each) => (each.name ?? "") === (portName ?? ""));
      if (target?.port === undefined || (target.protocol ?? "TCP") !== "TCP") continue;
      const ends = slice.endpoints.filter(({ conditions }) => conditions?.ready !== false);
      for (const { targetRef } of ends) {
        if (targetRef?.kind !== "Pod") continue;
        const pod = `${targetRef.namespace ?? namespace}/${targetRef.name}`;
        const each = {
          name: objectKey(service),
          address,
          port,
          targetPort: target.port,
          pods: ends.length,
        };
        const known = found.get(pod);
        if (known === undefined) found.set(pod, [each]);
        else known.push(each);
      }
    }
  }
  for (const services of found.values()) services.sort((x, y) => x.pods - y.pods);
  return found;
}

/** Numbers below `count`, each once. */
function shuffled(count: number, seed: number): number[] {
  const random = new SeededRandom(seed).fork("measured pairs");
  const numbers = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [numbers[i], numbers[j]] = [numbers[j] as number, numbers[i] as number];
  }
  return numbers;
}
