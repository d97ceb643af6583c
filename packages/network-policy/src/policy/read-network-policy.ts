import {
  type IpBlock,
  type NetworkPolicy,
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  type Protocol,
  withPolicyTypes,
} from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import { allPorts } from "./ip-protocol.ts";
import type { Direction, PeerTerm, Policy, PortTerm, Rule } from "./policy.ts";
import { NETWORK_POLICY } from "./tier.ts";

/** A NetworkPolicy (networking.k8s.io/v1) with the API server's defaults. It has passed the API server's checks. */
export function readNetworkPolicy(object: NetworkPolicy): Policy {
  const { podSelector = {}, policyTypes, ingress = [], egress = [] } = withPolicyTypes(object).spec;
  const namespace = object.metadata.namespace ?? "default";
  const types = new Set(policyTypes);
  const rules = (
    direction: Direction,
    each: readonly {
      readonly peers: readonly NetworkPolicyPeer[] | undefined;
      readonly ports: readonly NetworkPolicyPort[] | undefined;
    }[],
  ): readonly Rule[] =>
    each.map(({ peers, ports }, i) => ({
      path: `spec.${direction}[${i}]`,
      action: "Allow",
      // An empty list is as none: any peer, any port.
      ...(peers !== undefined &&
        peers.length > 0 && { peers: peers.map((peer) => readPeer(peer, namespace)) }),
      ...(ports !== undefined && ports.length > 0 && { ports: ports.map(readPort) }),
    }));
  return {
    object,
    tier: NETWORK_POLICY,
    priority: 0,
    subject: { kind: "pods", namespace, podSelector },
    ...(types.has("Ingress") && {
      ingress: rules(
        "ingress",
        ingress.map(({ from, ports }) => ({ peers: from, ports })),
      ),
    }),
    ...(types.has("Egress") && {
      egress: rules(
        "egress",
        egress.map(({ to, ports }) => ({ peers: to, ports })),
      ),
    }),
  };
}

function readPeer(peer: NetworkPolicyPeer, namespace: string): PeerTerm {
  const { ipBlock, namespaceSelector, podSelector = {} } = peer;
  if (ipBlock !== undefined) return readBlock(ipBlock);
  return namespaceSelector === undefined
    ? { kind: "pods", namespace, podSelector }
    : { kind: "pods", namespaceSelector, podSelector };
}

function readBlock({ cidr, except = [] }: IpBlock): PeerTerm {
  return { kind: "block", cidrs: [parsePrefix(cidr)], except: except.map(parsePrefix) };
}

function readPort({ protocol = "TCP", port, endPort }: NetworkPolicyPort): PortTerm {
  if (typeof port === "string") return { protocol, portName: port };
  return portRange(protocol, port, endPort);
}

/** All ports of the protocol where `first` is absent, that one where `last` is. */
export function portRange(
  protocol: Protocol,
  first: number | undefined,
  last: number | undefined,
): PortTerm {
  if (first === undefined) return { protocol, ...allPorts(protocol) };
  return { protocol, first, last: last ?? first };
}
