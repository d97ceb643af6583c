import type { ClusterNetworkPolicy, ClusterPolicyPeer, ClusterPolicyProtocol } from "@cnilab/core";
import type { Direction, PeerTerm, Policy, PortTerm, Rule } from "./policy.ts";
import { readSubject, readTierPeer } from "./read-admin-network-policy.ts";
import { portRange } from "./read-network-policy.ts";
import { ADMIN, BASELINE } from "./tier.ts";

type AnyRule = NonNullable<ClusterNetworkPolicy["spec"]["ingress" | "egress"]>[number];

/** A ClusterNetworkPolicy (policy.networking.k8s.io/v1alpha2). */
export function readClusterNetworkPolicy(object: ClusterNetworkPolicy): Policy {
  const { tier, priority, subject, ingress = [], egress = [] } = object.spec;
  const rules = (direction: Direction, each: readonly AnyRule[]): readonly Rule[] =>
    each.map((rule, i) => ({
      path: `spec.${direction}[${i}]`,
      ...(rule.name !== undefined && { name: rule.name }),
      action: rule.action === "Accept" ? "Allow" : rule.action,
      peers: ("from" in rule ? rule.from : rule.to).flatMap(readPeer),
      ...(rule.protocols !== undefined && { ports: rule.protocols.flatMap(readProtocol) }),
    }));
  return {
    object,
    tier: tier === "Admin" ? ADMIN : BASELINE,
    priority,
    subject: readSubject(subject),
    // A direction without rules is not touched.
    ...(ingress.length > 0 && { ingress: rules("ingress", ingress) }),
    ...(egress.length > 0 && { egress: rules("egress", egress) }),
  };
}

function readPeer(peer: ClusterPolicyPeer): readonly PeerTerm[] {
  return peer.domainNames?.map((name) => ({ kind: "domain" as const, name })) ?? readTierPeer(peer);
}

function readProtocol(term: ClusterPolicyProtocol): readonly PortTerm[] {
  if (term.destinationNamedPort !== undefined) return [{ portName: term.destinationNamedPort }];
  return (["TCP", "UDP", "SCTP"] as const).flatMap((protocol) => {
    const match = term[protocol.toLowerCase() as "tcp" | "udp" | "sctp"];
    if (match === undefined) return [];
    const { number, range } = match.destinationPort ?? {};
    return [portRange(protocol, range?.start ?? number, range?.end)];
  });
}
