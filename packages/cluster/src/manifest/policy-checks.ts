import {
  type Check,
  cidr,
  fail,
  integer,
  list,
  matching,
  networkPolicyFields,
  oneField,
  oneOf,
  port,
  portName,
  selector,
  strictObject,
} from "@cnilab/core/validation";
import { type KindChecks, kind } from "./kind-checks.ts";

// As the CustomResourceDefinitions check them (network-policy-api, config/crd/experimental).

const protocol = oneOf("TCP", "UDP", "SCTP");

const namespacedPods = strictObject({ namespaceSelector: selector, podSelector: selector });
const ofPods = { namespaces: selector, pods: namespacedPods };
const ruleName = matching(/^/, 100, "at most 100 characters");
const priority = integer(0, 1000);
const outside = { ...ofPods, nodes: selector, networks: list(cidr, 1, 25) };

/** Where nodes and networks are peers, no port has a name. */
function withoutNamedPorts(rule: Check, ports: string, name: string): Check {
  return (value, path) => {
    rule(value, path);
    const { to, [ports]: terms } = value as Readonly<Record<string, unknown>>;
    const nameless = (to as readonly object[]).some((peer) =>
      ["nodes", "networks", "domainNames"].some((field) => field in peer),
    );
    const at = ((terms ?? []) as readonly object[]).findIndex((term) => name in term);
    if (nameless && at >= 0) {
      fail(
        [...path, ports, at, name],
        "cannot stand beside nodes, networks or domainNames, whose ports have no names",
      );
    }
  };
}

function portRange(more: Readonly<Record<string, Check>>): Check {
  const check = strictObject({ ...more, start: port, end: port }, ["start", "end"]);
  return (value, path) => {
    check(value, path);
    const { start, end } = value as { readonly start: number; readonly end: number };
    if (start >= end) fail([...path, "end"], `must be more than start ${start}, but is ${end}`);
  };
}

const adminPorts = list(
  oneField({
    portNumber: strictObject({ protocol, port }, ["port"]),
    namedPort: portName,
    portRange: portRange({ protocol }),
  }),
  0,
  100,
);

function adminPolicySpec(
  actions: readonly string[],
  more: Readonly<Record<string, Check>>,
  required: readonly string[],
): Check {
  const action = oneOf(...actions);
  const ingress = strictObject(
    { name: ruleName, action, from: list(oneField(ofPods), 1, 100), ports: adminPorts },
    ["action", "from"],
  );
  const egress = strictObject(
    { name: ruleName, action, to: list(oneField(outside), 1, 100), ports: adminPorts },
    ["action", "to"],
  );
  return strictObject(
    {
      ...more,
      subject: oneField(ofPods),
      ingress: list(ingress, 0, 100),
      egress: list(withoutNamedPorts(egress, "ports", "namedPort"), 0, 100),
    },
    [...required, "subject"],
  );
}

const clusterPort = strictObject({
  destinationPort: oneField({
    number: port,
    range: portRange({}),
  }),
});
const protocols = list(
  oneField({
    tcp: clusterPort,
    udp: clusterPort,
    sctp: clusterPort,
    destinationNamedPort: portName,
  }),
  1,
  25,
);
const domainName = matching(
  /^(\*\.)?([a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-Z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$/,
  253,
  "a domain name, or *. and one",
);
const clusterAction = oneOf("Accept", "Deny", "Pass");
const clusterEgress: Check = (value, path) => {
  strictObject(
    {
      name: ruleName,
      action: clusterAction,
      to: list(oneField({ ...outside, domainNames: list(domainName, 1, 25) }), 1, 25),
      protocols,
    },
    ["action", "to"],
  )(value, path);
  const { action, to } = value as { readonly action: string; readonly to: readonly object[] };
  const at = to.findIndex((peer) => "domainNames" in peer);
  if (at >= 0 && action !== "Accept") {
    fail([...path, "to", at, "domainNames"], "can only be accepted, not denied or passed");
  }
};
const clusterPolicySpec = strictObject(
  {
    tier: oneOf("Admin", "Baseline"),
    priority,
    subject: oneField(ofPods),
    ingress: list(
      strictObject(
        { name: ruleName, action: clusterAction, from: list(oneField(ofPods), 1, 25), protocols },
        ["action", "from"],
      ),
      0,
      25,
    ),
    egress: list(withoutNamedPorts(clusterEgress, "protocols", "destinationNamedPort"), 0, 25),
  },
  ["tier", "priority", "subject"],
);

function policyKind(group: string, spec: Check, version = "v1"): KindChecks {
  return { ...kind(group, { spec }), version };
}

const GROUP = "policy.networking.k8s.io";

export const POLICY_CHECKS: Readonly<Record<string, KindChecks>> = {
  NetworkPolicy: policyKind("networking.k8s.io", strictObject(networkPolicyFields)),
  AdminNetworkPolicy: policyKind(
    GROUP,
    adminPolicySpec(["Allow", "Deny", "Pass"], { priority }, ["priority"]),
    "v1alpha1",
  ),
  BaselineAdminNetworkPolicy: {
    ...policyKind(GROUP, adminPolicySpec(["Allow", "Deny"], {}, []), "v1alpha1"),
    name: matching(/^default$/, 7, "default: there is one of this kind"),
  },
  ClusterNetworkPolicy: policyKind(GROUP, clusterPolicySpec, "v1alpha2"),
};
