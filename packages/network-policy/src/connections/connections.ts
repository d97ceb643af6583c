import type { KubeObject } from "@cnilab/core";
import { formatIp, type IpAddress } from "@cnilab/net";
import { type AddressRange, BlockIndex } from "../analyse/block-index.ts";
import { PolicyAnalysis } from "../analyse/policy-analysis.ts";
import { type Policy, simpleTerms, termsOf } from "../policy/policy.ts";
import { outsideEndpoint } from "../policy/policy-endpoint.ts";
import {
  KUBERNETES_POLICIES,
  type PolicyReader,
  withoutPodAddresses,
} from "../policy/policy-reader.ts";
import { ingressConnections } from "./ingress-controller.ts";
import { PortSet } from "./port-set.ts";
import { type Workload, workloadName, workloads } from "./workloads.ts";

/** A workload, or addresses outside of the cluster. */
export type Peer = { readonly workload: Workload } | { readonly outside: AddressRange };

/** What policies let one peer connect to at another: never nothing. */
export interface PermittedConnection {
  readonly source: Peer;
  readonly destination: Peer;
  readonly ports: PortSet;
}

/**
 * All that policies permit between different workloads, and between workloads and the outside, where only the
 * workload's side counts. Address ranges are outside ones here: manifests know no addresses of pods.
 */
export function permittedConnections(
  objects: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly PermittedConnection[] {
  const ranges = outsideRanges(reader.read(objects).policies);
  return joinRanges(connectionsByRange(objects, ranges, reader));
}

/** The same for given ranges of outside addresses, each by itself; policies must treat a range's addresses alike. */
export function connectionsByRange(
  objects: readonly KubeObject[],
  ranges: readonly AddressRange[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly PermittedConnection[] {
  const { policies, endpoint, settings } = reader.read(objects);
  const peers: readonly Peer[] = [
    ...workloads(objects, endpoint).map((workload) => ({ workload })),
    ...ranges.map((outside) => ({ outside })),
  ];
  const endpoints = peers.map((peer) =>
    "workload" in peer ? peer.workload.pods : [endpoint(outsideEndpoint(peer.outside.first))],
  );
  const known = withoutPodAddresses(settings);
  const analysis = new PolicyAnalysis(policies, endpoints.flat(), known);
  let next = 0;
  const places = endpoints.map((each) => each.map(() => next++));
  const found: PermittedConnection[] = [];
  peers.forEach((source, s) => {
    peers.forEach((destination, d) => {
      if (s === d || ("outside" in source && "outside" in destination)) return;
      const ports = permittedPorts(analysis, places[s] ?? [], places[d] ?? []);
      if (!ports.isEmpty) found.push({ source, destination, ports });
    });
  });
  return found;
}

/** What any pod of one workload may open at any of another. */
function permittedPorts(
  analysis: PolicyAnalysis,
  sources: readonly number[],
  destinations: readonly number[],
): PortSet {
  const { classOf } = analysis.classes;
  const permitted = [...analysis.portClasses.keys()].filter((port) => {
    const matrix = analysis.matrix(port);
    return sources.some((s) =>
      destinations.some((d) => matrix.allows(classOf[s] as number, classOf[d] as number)),
    );
  });
  return new PortSet(analysis.portClasses, permitted);
}

/** IPv4 addresses in ranges that policies treat alike. */
export function outsideRanges(policies: readonly Policy[]): readonly AddressRange[] {
  const blocks = [...termsOf(policies)]
    .flatMap(simpleTerms)
    .filter((term) => term.kind === "block");
  return new BlockIndex(blocks, 4).ranges;
}

/** Ranges next to each other with the same ports are one. */
function joinRanges(all: readonly PermittedConnection[]): readonly PermittedConnection[] {
  const joined: PermittedConnection[] = [];
  const lastOf = new Map<string, number>();
  for (const each of all) {
    const { outside, key } = sides(each);
    const at = lastOf.get(key);
    const before = at === undefined ? undefined : joined[at];
    const range = before && sides(before).outside;
    if (
      outside !== undefined &&
      range !== undefined &&
      before?.ports.equals(each.ports) &&
      follows(range.last, outside.first)
    ) {
      const merged = { outside: { first: range.first, last: outside.last } };
      joined[at as number] =
        "outside" in each.source ? { ...each, source: merged } : { ...each, destination: merged };
    } else if (outside === undefined) joined.push(each);
    else lastOf.set(key, joined.push(each) - 1);
  }
  return joined;
}

function follows(last: IpAddress, first: IpAddress): boolean {
  return (last as number) + 1 === first;
}

/** The outside end of a connection, and a key for the other one and the direction. */
function sides({ source, destination }: PermittedConnection): {
  readonly outside: AddressRange | undefined;
  readonly key: string;
} {
  if ("outside" in source) return { outside: source.outside, key: `<= ${peerName(destination)}` };
  if ("outside" in destination) {
    return { outside: destination.outside, key: `=> ${peerName(source)}` };
  }
  return { outside: undefined, key: "" };
}

/** `namespace/name[Kind]`, or `first-last[External]`. */
export function peerName(peer: Peer): string {
  if ("workload" in peer) return workloadName(peer.workload);
  const { first, last } = peer.outside;
  return `${formatIp(first)}-${formatIp(last)}[External]`;
}

/** The lines of `netpol-analyzer list`, in the order of their text: `SRC => DST : CONNS`. */
export function connectionLines(
  objects: readonly KubeObject[],
  reader: PolicyReader = KUBERNETES_POLICIES,
): readonly string[] {
  const permitted = permittedConnections(objects, reader).map(
    ({ source, destination, ports }) =>
      `${peerName(source)} => ${peerName(destination)} : ${ports}`,
  );
  const byWorkload = new Map<string, number[]>();
  const view = reader.read(objects);
  for (const { destination, port, admitted } of ingressConnections(
    objects,
    view,
    workloads(objects, view.endpoint),
  )) {
    if (!admitted) continue;
    const name = workloadName(destination);
    byWorkload.set(
      name,
      [...(byWorkload.get(name) ?? []), port].sort((x, y) => x - y),
    );
  }
  const ingress = [...byWorkload].map(
    ([name, ports]) => `{ingress-controller} => ${name} : TCP ${ports.join(",")}`,
  );
  return [...permitted, ...ingress].sort();
}
