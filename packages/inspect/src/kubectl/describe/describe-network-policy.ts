import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "@cnilab/core";
import { selectorText } from "../selector-text.ts";
import type { Description } from "./description.ts";

interface Rule {
  readonly ports: readonly NetworkPolicyPort[];
  readonly peers: readonly NetworkPolicyPeer[];
}

/** How kubectl words each direction. */
const WORDS = {
  Ingress: { isolated: "ingress", side: "From", restricted: "source" },
  Egress: { isolated: "egress", side: "To", restricted: "destination" },
} as const;

/** `kubectl describe networkpolicy` (pkg/describe `describeNetworkPolicy`). */
export function describeNetworkPolicy(to: Description, policy: NetworkPolicy): void {
  const { metadata, spec } = policy;
  to.head(policy);
  const { creationTimestamp } = metadata;
  const [date, time = ""] = (creationTimestamp ?? "").split("T");
  to.field("Created on", time === "" ? "" : `${date} ${time.slice(0, 8)} +0000 UTC`);
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.line(0, "Spec:");
  const selected = selectorText(spec.podSelector);
  const all = "<none> (Allowing the specific traffic to all pods in this namespace)";
  to.line(1, `PodSelector:     ${selected === "<none>" ? all : selected}`);
  // The API server fills them in.
  const types = spec.policyTypes ?? ["Ingress", ...(spec.egress?.length ? ["Egress"] : [])];
  const ingress = (spec.ingress ?? []).map(({ ports = [], from = [] }) => ({ ports, peers: from }));
  const egress = (spec.egress ?? []).map((rule) => ({
    ports: rule.ports ?? [],
    peers: rule.to ?? [],
  }));
  describeRules(to, "Ingress", types, ingress);
  describeRules(to, "Egress", types, egress);
  to.line(1, `Policy Types: ${types.join(", ") || "<none>"}`);
}

function describeRules(
  to: Description,
  type: "Ingress" | "Egress",
  types: readonly string[],
  rules: readonly Rule[],
): void {
  const { isolated, side, restricted } = WORDS[type];
  if (!types.includes(type)) {
    to.line(1, `Not affecting ${isolated} traffic`);
    return;
  }
  to.line(1, `Allowing ${isolated} traffic:`);
  if (rules.length === 0)
    to.line(2, `<none> (Selected pods are isolated for ${isolated} connectivity)`);
  rules.forEach(({ ports, peers }, i) => {
    if (i > 0) to.line(2, "----------");
    if (ports.length === 0) to.line(2, "To Port: <any> (traffic allowed to all ports)");
    for (const { port = "<nil>", endPort, protocol = "TCP" } of ports) {
      if (endPort === undefined) to.line(2, `To Port: ${port}/${protocol}`);
      else to.line(2, `To Port Range: ${port}-${endPort}/${protocol}`);
    }
    if (peers.length === 0) to.line(2, `${side}: <any> (traffic not restricted by ${restricted})`);
    for (const { namespaceSelector, podSelector, ipBlock } of peers) {
      to.line(2, `${side}:`);
      if (namespaceSelector) to.line(3, `NamespaceSelector: ${selectorText(namespaceSelector)}`);
      if (podSelector) to.line(3, `PodSelector: ${selectorText(podSelector)}`);
      if (namespaceSelector || podSelector || ipBlock === undefined) continue;
      to.line(3, "IPBlock:");
      to.line(4, `CIDR: ${ipBlock.cidr}`);
      to.line(4, `Except: ${(ipBlock.except ?? []).join(", ")}`);
    }
  });
}
