import { NAMESPACE_NAME_LABEL } from "@cnilab/core";
import {
  type Direction,
  type FlowVerdict,
  type Policy,
  type PolicyEndpoint,
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
    const { policy, rule } = step.rule;
    if (isCiliums(policy)) {
      return [
        `  ${policyName(policy)}: take ${rule.path} away or narrow it: what denies comes before all that allow`,
      ];
    }
    return [
      `  ${policyName(step.rule.policy)}: put an Allow rule for it before ${step.rule.rule.path}, or take that rule away`,
    ];
  }
  const peer = direction === "egress" ? destination : source;
  const [policy] = step.told;
  if (policy === undefined) return [];
  if (policy.isBuiltIn === true) {
    return [
      `  add a policy that allows it: ${policyName(policy)} says that what none allows is denied`,
    ];
  }
  const { apiVersion, kind } = policy.object;
  if (isCiliums(policy)) {
    return [
      `  ${policyName(policy)}: add to ${specOf(policy)}.${direction}: {${ciliumRule(direction, peer, protocol, port)}}`,
    ];
  }
  if (kind === "HostEndpoint") {
    return [`  ${policyName(policy)}: give it a profile that allows it, or a policy`];
  }
  const rule = apiVersion.startsWith("projectcalico.org/")
    ? calicoRule(direction, peer, protocol, port)
    : kubernetesRule(direction, peer, protocol, port);
  return [`  ${policyName(policy)}: add to spec.${direction}: {${rule}}`];
}

function kubernetesRule(
  direction: Direction,
  peer: PolicyEndpoint,
  protocol: PolicyFlow["protocol"],
  port: number,
): string {
  const field = direction === "egress" ? "to" : "from";
  const selector =
    peer.pod === undefined
      ? `ipBlock: {cidr: ${hostRange(peer)}}`
      : [
          `namespaceSelector: {matchLabels: {${NAMESPACE_NAME_LABEL}: ${peer.pod.namespace}}}`,
          `podSelector: {matchLabels: ${JSON.stringify(peer.pod.labels)}}`,
        ].join(", ");
  return `${field}: [{${selector}}], ports: [{protocol: ${protocol}, port: ${port}}]`;
}

function calicoRule(
  direction: Direction,
  peer: PolicyEndpoint,
  protocol: PolicyFlow["protocol"],
  port: number,
): string {
  const labels = Object.entries(peer.pod?.labels ?? {}).map(
    ([key, value]) => `${key} == "${value}"`,
  );
  const entity =
    peer.pod === undefined
      ? `nets: [${hostRange(peer)}]`
      : [
          `namespaceSelector: 'projectcalico.org/name == "${peer.pod.namespace}"'`,
          `selector: '${labels.length === 0 ? "all()" : labels.join(" && ")}'`,
        ].join(", ");
  const sides =
    direction === "egress"
      ? `destination: {${entity}, ports: [${port}]}`
      : `source: {${entity}}, destination: {ports: [${port}]}`;
  return `action: Allow, protocol: ${protocol}, ${sides}`;
}

function isCiliums({ object }: Policy): boolean {
  return object.apiVersion.startsWith("cilium.io/");
}

/** `spec`, or `specs[1]` of an object that holds several. */
function specOf({ ingress = [], egress = [] }: Policy): string {
  const [rule] = [...ingress, ...egress];
  return rule?.path.split(".")[0] ?? "spec";
}

function ciliumRule(
  direction: Direction,
  peer: PolicyEndpoint,
  protocol: PolicyFlow["protocol"],
  port: number,
): string {
  const side = direction === "egress" ? "to" : "from";
  const labels = {
    ...peer.pod?.labels,
    "k8s:io.kubernetes.pod.namespace": peer.pod?.namespace,
  };
  const who =
    peer.pod !== undefined
      ? `${side}Endpoints: [{matchLabels: ${JSON.stringify(labels)}}]`
      : peer.nodeLabels !== undefined
        ? `${side}Entities: [host, remote-node]`
        : `${side}CIDR: [${hostRange(peer)}]`;
  return `${who}, toPorts: [{ports: [{port: "${port}", protocol: ${protocol}}]}]`;
}

function hostRange({ name }: PolicyEndpoint): string {
  return `${name}/${name.includes(":") ? 128 : 32}`;
}
