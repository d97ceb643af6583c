import type {
  AdminNetworkPolicy,
  AdminPolicyPeer,
  AdminPolicyPort,
  BaselineAdminNetworkPolicy,
  PolicySubject,
} from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import type { Direction, PeerTerm, PodTerm, Policy, PortTerm, Rule } from "./policy.ts";
import { portRange } from "./read-network-policy.ts";
import { ADMIN, BASELINE } from "./tier.ts";

type AnyAdminPolicy = AdminNetworkPolicy | BaselineAdminNetworkPolicy;
type AnyRule = NonNullable<AnyAdminPolicy["spec"]["ingress" | "egress"]>[number];

/** An AdminNetworkPolicy or the BaselineAdminNetworkPolicy (policy.networking.k8s.io/v1alpha1). */
export function readAdminNetworkPolicy(object: AnyAdminPolicy): Policy {
  const { subject, ingress = [], egress = [] } = object.spec;
  const rules = (direction: Direction, each: readonly AnyRule[]): readonly Rule[] =>
    each.map((rule, i) => ({
      path: `spec.${direction}[${i}]`,
      ...(rule.name !== undefined && { name: rule.name }),
      action: rule.action,
      peers: ("from" in rule ? rule.from : rule.to).flatMap(readTierPeer),
      ...(rule.ports !== undefined && { ports: rule.ports.map(readPort) }),
    }));
  return {
    object,
    tier: object.kind === "AdminNetworkPolicy" ? ADMIN : BASELINE,
    priority: object.kind === "AdminNetworkPolicy" ? object.spec.priority : 0,
    subject: readSubject(subject),
    // A direction without rules is not touched.
    ...(ingress.length > 0 && { ingress: rules("ingress", ingress) }),
    ...(egress.length > 0 && { egress: rules("egress", egress) }),
  };
}

export function readSubject({ namespaces, pods }: PolicySubject): PodTerm {
  return {
    kind: "pods",
    namespaceSelector: pods?.namespaceSelector ?? namespaces ?? {},
    podSelector: pods?.podSelector ?? {},
  };
}

/** A peer of the Admin or Baseline tier; one with several networks is as many. */
export function readTierPeer(peer: AdminPolicyPeer): readonly PeerTerm[] {
  const { nodes, networks } = peer;
  if (nodes !== undefined) return [{ kind: "nodes", nodeSelector: nodes }];
  if (networks !== undefined) {
    return networks.map((cidr) => ({ kind: "block", cidrs: [parsePrefix(cidr)], except: [] }));
  }
  return [readSubject(peer)];
}

function readPort({ portNumber, namedPort, portRange: range }: AdminPolicyPort): PortTerm {
  if (namedPort !== undefined) return { portName: namedPort };
  if (range !== undefined) return portRange(range.protocol ?? "TCP", range.start, range.end);
  return portRange(portNumber?.protocol ?? "TCP", portNumber?.port, undefined);
}
