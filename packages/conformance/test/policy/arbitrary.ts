import type { KubeObject, LabelSelector, Labels } from "@cnilab/core";
import { parsePrefix } from "@cnilab/net";
import fc from "fast-check";

// Random clusters and policies out of small vocabularies, so that selectors, ranges and ports often meet.

const KEYS = ["app", "tier", "env"];
const VALUES = ["a", "b", ""];
const NAMESPACES = ["x", "y", "z"];
const PORT_NAMES = ["http", "dns"];
const PORTS = [53, 80, 81, 8080];
const PROTOCOLS = ["TCP", "UDP", "SCTP"] as const;
const BLOCKS = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/30", "10.0.0.4/31", "192.0.2.0/24"];

const key = fc.constantFrom(...KEYS);
const value = fc.constantFrom(...VALUES);
const port = fc.constantFrom(...PORTS);
const protocol = fc.constantFrom(...PROTOCOLS);
const few = <T>(each: fc.Arbitrary<T>, least = 0) =>
  fc.array(each, { minLength: least, maxLength: 3 });

const labels: fc.Arbitrary<Labels> = fc.dictionary(key, value, {
  maxKeys: 2,
  noNullPrototype: true,
});

const requirement = fc.oneof(
  fc.record({
    key,
    operator: fc.constantFrom("In" as const, "NotIn" as const),
    values: fc.array(value, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ key, operator: fc.constantFrom("Exists" as const, "DoesNotExist" as const) }),
);
const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  fc.constant({}),
  fc.record(
    {
      matchLabels: fc.dictionary(key, value, { minKeys: 1, maxKeys: 1, noNullPrototype: true }),
      matchExpressions: fc.array(requirement, { maxLength: 1 }),
    },
    { requiredKeys: [] },
  ),
);

const ipBlock = fc
  .tuple(fc.constantFrom(...BLOCKS), few(fc.constantFrom(...BLOCKS)))
  .map(([cidr, except]) => ({
    ipBlock: {
      cidr,
      except: except.filter((hole) => hole !== cidr && parsePrefix(cidr).covers(parsePrefix(hole))),
    },
  }));
const peer = fc.oneof(
  ipBlock,
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({ namespaceSelector: selector, podSelector: selector }),
);
const policyPort = fc.oneof(
  fc.record({ protocol }, { requiredKeys: [] }),
  fc.record({ protocol, port }, { requiredKeys: ["port"] }),
  fc.record({ protocol, port: fc.constantFrom(...PORT_NAMES) }),
  fc.record({ protocol, port: fc.constant(60), endPort: fc.constantFrom(60, 80, 9000) }),
);

const networkPolicy = fc
  .record({
    namespace: fc.constantFrom(...NAMESPACES),
    spec: fc.record(
      {
        podSelector: selector,
        policyTypes: fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]),
        ingress: few(fc.record({ from: few(peer), ports: few(policyPort) }, { requiredKeys: [] })),
        egress: few(fc.record({ to: few(peer), ports: few(policyPort) }, { requiredKeys: [] })),
      },
      { requiredKeys: ["podSelector"] },
    ),
  })
  .map(({ namespace, spec }) => ({ kind: "NetworkPolicy", namespace, spec }));

const subject = fc.oneof(
  fc.record({ namespaces: selector }),
  fc.record({ pods: fc.record({ namespaceSelector: selector, podSelector: selector }) }),
);
const networks = fc.uniqueArray(fc.constantFrom(...BLOCKS), { minLength: 1, maxLength: 2 });
const tierEgressPeer = fc.oneof(subject, fc.record({ nodes: selector }), fc.record({ networks }));

/** Nodes and networks have no ports with names, so that the API server refuses both in one rule. */
function withNamesForPodsOnly<R extends { readonly to: readonly object[] }>(
  field: keyof R,
  rule: R,
): R {
  const terms = rule[field] as readonly object[] | undefined;
  const nameless = rule.to.some((peer) => "nodes" in peer || "networks" in peer);
  if (!nameless || terms === undefined) return rule;
  const { [field]: _, ...rest } = rule;
  const numbers = terms.filter((term) => !("namedPort" in term || "destinationNamedPort" in term));
  return (numbers.length === 0 ? rest : { ...rule, [field]: numbers }) as R;
}

const adminPort = fc.oneof(
  fc.record({ portNumber: fc.record({ protocol, port }) }),
  fc.record({
    portRange: fc.record({ protocol, start: fc.constant(60), end: fc.constantFrom(80, 9000) }),
  }),
  fc.record({ namedPort: fc.constantFrom(...PORT_NAMES) }),
);
const adminRules = (action: fc.Arbitrary<string>) => ({
  ingress: few(
    fc.record(
      { action, from: few(subject, 1), ports: few(adminPort, 1) },
      { requiredKeys: ["action", "from"] },
    ),
  ),
  egress: few(
    fc
      .record(
        { action, to: few(tierEgressPeer, 1), ports: few(adminPort, 1) },
        { requiredKeys: ["action", "to"] },
      )
      .map((rule) => withNamesForPodsOnly("ports", rule)),
  ),
});
const adminNetworkPolicy = fc
  .record({
    subject,
    priority: fc.nat(1000),
    ...adminRules(fc.constantFrom("Allow", "Deny", "Pass")),
  })
  .map((spec) => ({ kind: "AdminNetworkPolicy", spec }));
const baselineAdminNetworkPolicy = fc
  .record({ subject, ...adminRules(fc.constantFrom("Allow", "Deny")) })
  .map((spec) => ({ kind: "BaselineAdminNetworkPolicy", spec }));

const destinationPort = fc.oneof(
  fc.record({ number: port }),
  fc.record({ range: fc.constant({ start: 60, end: 8080 }) }),
);
const clusterProtocol = fc.oneof(
  ...(["tcp", "udp", "sctp"] as const).map((each) =>
    fc.record({ [each]: fc.record({ destinationPort }) }),
  ),
  fc.record({ destinationNamedPort: fc.constantFrom(...PORT_NAMES) }),
);
const clusterAction = fc.constantFrom("Accept", "Deny", "Pass");
const clusterNetworkPolicy = fc
  .record({
    tier: fc.constantFrom("Admin", "Baseline"),
    priority: fc.nat(1000),
    subject,
    ingress: few(
      fc.record(
        { action: clusterAction, from: few(subject, 1), protocols: few(clusterProtocol, 1) },
        { requiredKeys: ["action", "from"] },
      ),
    ),
    egress: few(
      fc
        .record(
          { action: clusterAction, to: few(tierEgressPeer, 1), protocols: few(clusterProtocol, 1) },
          { requiredKeys: ["action", "to"] },
        )
        .map((rule) => withNamesForPodsOnly("protocols", rule)),
    ),
  })
  .map((spec) => ({ kind: "ClusterNetworkPolicy", spec }));

const BASELINE = "BaselineAdminNetworkPolicy";

const API_VERSIONS: Readonly<Record<string, string>> = {
  NetworkPolicy: "networking.k8s.io/v1",
  AdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  BaselineAdminNetworkPolicy: "policy.networking.k8s.io/v1alpha1",
  ClusterNetworkPolicy: "policy.networking.k8s.io/v1alpha2",
};

/** Policies of all kinds and tiers. */
export const policies: fc.Arbitrary<readonly KubeObject[]> = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: networkPolicy },
      { weight: 2, arbitrary: adminNetworkPolicy },
      { weight: 1, arbitrary: baselineAdminNetworkPolicy },
      { weight: 2, arbitrary: clusterNetworkPolicy },
    ),
    { maxLength: 6 },
  )
  .map((all) =>
    // There is one baseline policy, and its name is given.
    all.filter(({ kind }, i) => kind !== BASELINE || all.findIndex((p) => p.kind === kind) === i),
  )
  .map((all) =>
    all.map(({ kind, spec, ...rest }, i) => ({
      apiVersion: API_VERSIONS[kind] as string,
      kind,
      metadata: { name: kind === BASELINE ? "default" : `p${i}`, ...rest },
      spec,
    })),
  );

const containerPorts = fc.uniqueArray(
  fc.record({ name: fc.constantFrom(...PORT_NAMES), containerPort: port, protocol }),
  { maxLength: 2, selector: ({ name }) => name },
);

/** Namespaces, nodes, and pods in them; pod addresses are 10.0.0.1 and following, nodes' 192.0.2.1 and following. */
export const clusters: fc.Arbitrary<readonly KubeObject[]> = fc
  .record({
    namespaces: fc.tuple(labels, labels, labels),
    nodes: fc.array(labels, { maxLength: 2 }),
    pods: fc.array(
      fc.record({
        namespace: fc.constantFrom(...NAMESPACES),
        nodeName: fc.constantFrom("n0", "n1"),
        labels,
        ports: containerPorts,
      }),
      { maxLength: 8 },
    ),
  })
  .map(({ namespaces, nodes, pods }) => [
    ...NAMESPACES.map((name, i) => ({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name, labels: namespaces[i] as Labels },
    })),
    ...nodes.map((each, i) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: `n${i}`, labels: each },
      status: { addresses: [{ type: "InternalIP", address: `192.0.2.${i + 1}` }] },
    })),
    ...pods.map((pod, i) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `p${i}`, namespace: pod.namespace, labels: pod.labels },
      spec: { nodeName: pod.nodeName, containers: [{ name: "c", ports: pod.ports }] },
      status: { podIP: `10.0.0.${i + 1}` },
    })),
  ]);

/** Ports that the vocabularies speak of, and one beside each. */
export const PROBES: readonly (readonly [protocol: (typeof PROTOCOLS)[number], port: number])[] =
  PROTOCOLS.flatMap((each) =>
    [...PORTS, 59, 60, 9000, 9001, 1, 65_535].map((number) => [each, number] as const),
  );
