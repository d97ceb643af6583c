import { selects } from "@cnilab/core";
import { familyOf } from "@cnilab/net";
import type { IpProtocol } from "./ip-protocol.ts";
import { labelsMatch } from "./label-expression.ts";
import type { PeerTerm, PodTerm, PortTerm } from "./policy.ts";
import type { PolicyEndpoint } from "./policy-endpoint.ts";

/** What CNIs understand differently. */
export interface PolicySettings {
  /** Whether an address range admits pods by their address, as upstream's tests want, or only what is no pod. */
  readonly blocksMatchPods: boolean;
  /** Whether nothing is asked between a node and the pods on it. The default is what upstream's tests want, again. */
  readonly nodesReachTheirPods?: boolean;
}

export const DEFAULT_SETTINGS: PolicySettings = { blocksMatchPods: true };

/** Where it is not said from which port a connection comes: the first that Linux takes (net.ipv4.ip_local_port_range). */
export const EPHEMERAL_PORT = 32_768;

/** @param isLocal whether the peer is on the node of the endpoint that is asked for, as is everybody for himself */
export function peerMatches(
  term: PeerTerm,
  peer: PolicyEndpoint,
  settings: PolicySettings = DEFAULT_SETTINGS,
  isLocal = true,
): boolean {
  switch (term.kind) {
    case "pods":
      return podMatches(term, peer);
    case "nodes":
      return peer.nodeLabels !== undefined && selects(term.nodeSelector, peer.nodeLabels);
    case "labels":
      return peer.labels !== undefined && labelsMatch(term.where, peer.labels);
    case "block":
      return (
        (peer.pod === undefined || settings.blocksMatchPods) &&
        term.cidrs.some((cidr) => cidr.contains(peer.address)) &&
        !term.except.some((hole) => hole.contains(peer.address))
      );
    case "family":
      return familyOf(peer.address) === term.family;
    case "domain":
      return false;
    case "local":
      return isLocal;
    case "all":
      return term.of.every((each) => peerMatches(each, peer, settings, isLocal));
    case "any":
      return term.of.some((each) => peerMatches(each, peer, settings, isLocal));
    case "not":
      return !peerMatches(term.of, peer, settings, isLocal);
  }
}

function podMatches(term: PodTerm, { pod }: PolicyEndpoint): boolean {
  if (pod === undefined) return false;
  const inNamespace =
    term.namespace === undefined
      ? selects(term.namespaceSelector, pod.namespaceLabels)
      : term.namespace === pod.namespace;
  return inNamespace && selects(term.podSelector, pod.labels);
}

/** What is outside has no ports with names, so that no name fits it. */
export function portMatches(
  term: PortTerm,
  endpoint: PolicyEndpoint,
  protocol: IpProtocol,
  port: number,
): boolean {
  if (term.protocol !== undefined && term.protocol !== protocol) return false;
  if (!("portName" in term)) return port >= term.first && port <= term.last;
  return (
    endpoint.ports?.some(
      (named) => named.name === term.portName && named.port === port && named.protocol === protocol,
    ) ?? false
  );
}

/** Whether two endpoints are on one node, or one of them is that node. */
export function areLocal(x: PolicyEndpoint, y: PolicyEndpoint): boolean {
  return x.node !== undefined && x.node === y.node;
}

/** How much of a flow is asked at all: the verdict of a side that is not is "allowed". */
export function askedSides(
  source: PolicyEndpoint,
  destination: PolicyEndpoint,
  settings: PolicySettings,
): { readonly egress: boolean; readonly ingress: boolean } {
  // A pod cannot be cut off from itself (API text of NetworkPolicy, and the upstream tests).
  if (source.pod !== undefined && source.name === destination.name) {
    return { egress: false, ingress: false };
  }
  const isLocal =
    settings.nodesReachTheirPods === true &&
    areLocal(source, destination) &&
    (source.pod === undefined) !== (destination.pod === undefined);
  // What goes to the node itself has still to leave the pod.
  return { egress: !isLocal || source.pod !== undefined, ingress: !isLocal };
}
