import {
  type Check,
  cidr,
  describe,
  fail,
  integer,
  list,
  matching,
  oneField,
  oneOf,
  port,
  portName,
  portOrName,
  selector,
  strictObject,
} from "@cnilab/core/validation";
import { parsePrefix, tryParsePrefix } from "@cnilab/net";
import { type KindChecks, kind } from "./kind-checks.ts";

// NetworkPolicy as the API server checks it (pkg/apis/networking/validation/validation.go, v1.35); the others as their
// CustomResourceDefinitions do (network-policy-api, config/crd/experimental).

const protocol = oneOf("TCP", "UDP", "SCTP");

const policyPort: Check = (value, path) => {
  strictObject({ protocol, port: portOrName, endPort: port })(value, path);
  const { port: first, endPort } = value as { readonly port?: unknown; readonly endPort?: number };
  if (endPort === undefined) return;
  if (typeof first !== "number") fail([...path, "endPort"], "needs a numeric port beside it");
  if (endPort < (first as number)) {
    fail([...path, "endPort"], `must not be less than port ${first}, but is ${endPort}`);
  }
};

const ipBlock: Check = (value, path) => {
  strictObject({ cidr, except: list(cidr) }, ["cidr"])(value, path);
  const block = value as { readonly cidr: string; readonly except?: readonly string[] };
  const whole = parsePrefix(block.cidr);
  block.except?.forEach((text, i) => {
    const hole = tryParsePrefix(text);
    if (hole !== undefined && whole.covers(hole) && hole.length > whole.length) return;
    fail([...path, "except", i], `must be a part of cidr ${block.cidr}, not ${describe(text)}`);
  });
};

const policyPeer: Check = (value, path) => {
  strictObject({ podSelector: selector, namespaceSelector: selector, ipBlock })(value, path);
  const peer = value as Readonly<Record<string, unknown>>;
  const labelled = peer["podSelector"] !== undefined || peer["namespaceSelector"] !== undefined;
  if (peer["ipBlock"] === undefined) {
    if (!labelled) fail(path, "must have podSelector, namespaceSelector or ipBlock");
  } else if (labelled) {
    fail(
      [...path, "ipBlock"],
      "cannot stand beside podSelector or namespaceSelector; make it a peer of its own",
    );
  }
};

const networkPolicySpec = strictObject({
  podSelector: selector,
  policyTypes: list(oneOf("Ingress", "Egress"), 0, 2),
  ingress: list(strictObject({ from: list(policyPeer), ports: list(policyPort) })),
  egress: list(strictObject({ to: list(policyPeer), ports: list(policyPort) })),
});

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
  NetworkPolicy: policyKind("networking.k8s.io", networkPolicySpec),
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
