import { NAMESPACE_NAME_LABEL } from "@cnilab/core";
import {
  type Direction,
  type FlowVerdict,
  type PolicyFlow,
  policyName,
  type SideVerdict,
} from "@cnilab/network-policy";

/** What would have to change so that a connection that is denied is allowed. */
export function remedies({ egress, ingress }: FlowVerdict, flow: PolicyFlow): readonly string[] {
  const lines = [...remedy("egress", egress, flow), ...remedy("ingress", ingress, flow)];
  return lines.length === 0 ? [] : ["to allow it:", ...lines];
}

function remedy(
  direction: Direction,
  { allowed, steps }: SideVerdict,
  { source, destination, protocol, port }: PolicyFlow,
): readonly string[] {
  const step = steps.at(-1);
  if (allowed || step === undefined) return [];
  if (step.rule !== undefined) {
    return [
      `  ${policyName(step.rule.policy)}: put an Allow rule for it before ${step.rule.rule.path}, or take that rule away`,
    ];
  }
  const peer = direction === "egress" ? destination : source;
  const field = direction === "egress" ? "to" : "from";
  const selector =
    peer.pod === undefined
      ? `ipBlock: {cidr: ${peer.name}/${peer.name.includes(":") ? 128 : 32}}`
      : [
          `namespaceSelector: {matchLabels: {${NAMESPACE_NAME_LABEL}: ${peer.pod.namespace}}}`,
          `podSelector: {matchLabels: ${JSON.stringify(peer.pod.labels)}}`,
        ].join(", ");
  const [policy] = step.selecting;
  if (policy === undefined) return [];
  return [
    `  ${policyName(policy)}: add to spec.${direction}: {${field}: [{${selector}}], ports: [{protocol: ${protocol}, port: ${port}}]}`,
  ];
}
