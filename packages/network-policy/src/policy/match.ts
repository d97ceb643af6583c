import { type Protocol, selects } from "@cnilab/core";
import type { PeerTerm, PodTerm, PortTerm } from "./policy.ts";
import type { PolicyEndpoint } from "./policy-endpoint.ts";

/** What CNIs understand differently. */
export interface PolicySettings {
  /** Whether an address range admits pods by their address, as upstream's tests want, or only what is no pod. */
  readonly blocksMatchPods: boolean;
}

export const DEFAULT_SETTINGS: PolicySettings = { blocksMatchPods: true };

export function termSelects(term: PodTerm, { pod }: PolicyEndpoint): boolean {
  if (pod === undefined) return false;
  const inNamespace =
    term.namespace === undefined
      ? selects(term.namespaceSelector, pod.namespaceLabels)
      : term.namespace === pod.namespace;
  return inNamespace && selects(term.podSelector, pod.labels);
}

export function peerMatches(
  term: PeerTerm,
  peer: PolicyEndpoint,
  settings: PolicySettings,
): boolean {
  switch (term.kind) {
    case "pods":
      return termSelects(term, peer);
    case "nodes":
      return peer.nodeLabels !== undefined && selects(term.nodeSelector, peer.nodeLabels);
    case "block":
      return (
        (peer.pod === undefined || settings.blocksMatchPods) &&
        term.cidr.contains(peer.address) &&
        !term.except.some((hole) => hole.contains(peer.address))
      );
    case "domain":
      return false;
  }
}

/** A destination outside has no container ports, so that no name fits it. */
export function portMatches(
  term: PortTerm,
  destination: PolicyEndpoint,
  protocol: Protocol,
  port: number,
): boolean {
  if (term.protocol !== undefined && term.protocol !== protocol) return false;
  if (!("portName" in term)) return port >= term.first && port <= term.last;
  return (
    destination.pod?.ports.some(
      (named) => named.name === term.portName && named.port === port && named.protocol === protocol,
    ) ?? false
  );
}
