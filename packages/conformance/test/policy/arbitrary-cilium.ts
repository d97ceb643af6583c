import type { KubeObject, LabelSelector } from "@cnilab/core";
import fc from "fast-check";

// Small clusters and policies about them, whatever comes out: labels are few, so that policies meet.

export const NAMESPACES = ["red", "blue"] as const;
export const NODES = ["n1", "n2", "n3"] as const;
const APPS = ["a", "b", "c"] as const;
const TEAMS = ["x", "y"] as const;
const PORT_NAMES = ["web", "db"] as const;
const PORT_NUMBERS = [80, 81, 443, 5432, 8080] as const;

export const NODE_ADDRESSES: Readonly<Record<string, string>> = {
  n1: "192.168.0.1",
  n2: "192.168.0.2",
  n3: "192.168.0.3",
};
/** The third node serves the API, and somebody outside. */
export const API_SERVERS: readonly string[] = ["192.168.0.3", "172.20.0.1"];
export const OUTSIDE: readonly string[] = [
  "10.9.0.1",
  "10.9.128.1",
  "10.9.129.1",
  "10.8.0.1",
  "172.20.0.1",
  "203.0.113.5",
  "203.0.113.200",
];
export const OUTSIDE_IPV6: readonly string[] = ["2001:db8::5", "2001:db8:1::5", "fd99::1"];
const CIDRS = [
  "0.0.0.0/0",
  "10.0.0.0/8",
  "10.9.0.0/16",
  "10.9.128.0/17",
  "10.9.129.0/24",
  "203.0.113.0/24",
  "203.0.113.128/25",
  "203.0.113.5/32",
  // Where pods and nodes are: ranges never mean these.
  "10.244.0.0/16",
  "192.168.0.0/24",
  "::/0",
  "2001:db8::/32",
  "2001:db8:1::/48",
] as const;

const pods = fc.array(
  fc.record({
    namespace: fc.constantFrom(...NAMESPACES),
    node: fc.constantFrom(...NODES),
    app: fc.constantFrom(...APPS),
    team: fc.option(fc.constantFrom(...TEAMS), { nil: undefined }),
    account: fc.constantFrom("default", "api"),
    // A label that makes no identity, and one that may not be given.
    more: fc.subarray(["pod-template-hash", "io.cilium.k8s.policy.cluster"]),
    ports: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom(...PORT_NAMES),
        containerPort: fc.constantFrom(...PORT_NUMBERS),
      }),
      { selector: ({ name }) => name, maxLength: 2 },
    ),
  }),
  { minLength: 3, maxLength: 6 },
);

/** Of IPv4 alone, or of both families. */
export const clusterOf = (isDualStack: boolean): fc.Arbitrary<readonly KubeObject[]> =>
  pods
    .map((pods) => [
      ...NAMESPACES.map((name) => ({
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { "kubernetes.io/metadata.name": name, colour: name } },
      })),
      ...NODES.map((name, i) => ({
        apiVersion: "v1",
        kind: "Node",
        metadata: { name, labels: { zone: `z${i % 2}`, "kubernetes.io/hostname": name } },
        spec: {},
        status: {
          addresses: [
            { type: "InternalIP", address: NODE_ADDRESSES[name] },
            ...(isDualStack ? [{ type: "InternalIP", address: `fd00:1::${i + 1}` }] : []),
          ],
        },
      })),
      ...pods.map(({ namespace, node, app, team, account, more, ports }, i) => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: {
          name: `p${i}`,
          namespace,
          labels: {
            app,
            ...(team && { team }),
            ...Object.fromEntries(more.map((key) => [key, "mine"])),
          },
        },
        spec: {
          nodeName: node,
          serviceAccountName: account,
          containers: [
            { name: "c", image: "i", ports: ports.map((port) => ({ ...port, protocol: "TCP" })) },
          ],
        },
        status: {
          podIP: `10.244.${NODES.indexOf(node)}.${i + 2}`,
          podIPs: [
            { ip: `10.244.${NODES.indexOf(node)}.${i + 2}` },
            ...(isDualStack ? [{ ip: `fd00:10:${NODES.indexOf(node)}::${i + 2}` }] : []),
          ],
        },
      })),
      endpointSlice("default", "kubernetes", API_SERVERS),
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "chosen", namespace: "red", labels: { tier: "back" } },
        spec: { selector: { app: "a" }, ports: [{ port: 80 }] },
      },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "given", namespace: "blue", labels: { tier: "back" } },
        spec: { ports: [{ port: 80 }] },
      },
      endpointSlice("blue", "given", ["203.0.113.5", "10.244.0.2"]),
      cidrGroup("one", { kind: "g", size: "small" }, ["10.9.128.0/17", "203.0.113.5/32"]),
      cidrGroup("two", { kind: "g", size: "big" }, [
        "10.9.0.0/16",
        "172.20.0.0/16",
        "2001:db8:1::/48",
      ]),
    ])
    .map((objects) => objects as unknown as readonly KubeObject[]);

export const cluster: fc.Arbitrary<readonly KubeObject[]> = clusterOf(false);

function endpointSlice(namespace: string, service: string, addresses: readonly string[]): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${service}-1`,
      namespace,
      labels: { "kubernetes.io/service-name": service },
    },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ports: [],
  };
}

function cidrGroup(name: string, labels: object, externalCIDRs: readonly string[]): object {
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumCIDRGroup",
    metadata: { name, labels },
    spec: { externalCIDRs },
  };
}

const LABELS: readonly (readonly [string, string])[] = [
  ["app", "a"],
  ["app", "b"],
  ["k8s:app", "c"],
  ["any:team", "x"],
  ["team", "y"],
  ["container:app", "a"],
  ["pod-template-hash", "mine"],
  ["k8s:io.kubernetes.pod.namespace", "red"],
  ["io.kubernetes.pod.namespace", "blue"],
  ["k8s:io.cilium.k8s.namespace.labels.colour", "blue"],
  ["io.cilium.k8s.policy.serviceaccount", "api"],
  ["io.cilium.k8s.policy.cluster", "default"],
];
const RESERVED: readonly (readonly [string, string])[] = [
  ["reserved:host", ""],
  ["reserved:remote-node", ""],
  ["reserved:world", ""],
  ["reserved:kube-apiserver", ""],
  ["cidr:10.0.0.0/8", ""],
];

function selectorOf(labels: readonly (readonly [string, string])[]): fc.Arbitrary<LabelSelector> {
  const pair = fc.constantFrom(...labels);
  return fc.record(
    {
      matchLabels: fc
        .uniqueArray(pair, { selector: ([key]) => key, minLength: 1, maxLength: 2 })
        .map((pairs) => Object.fromEntries(pairs)),
      matchExpressions: fc.array(
        fc
          .tuple(pair, fc.constantFrom("In", "NotIn", "Exists", "DoesNotExist"))
          .map(([[key, value], operator]) => ({
            key,
            operator,
            ...(operator.endsWith("In") && { values: [value] }),
          })),
        { minLength: 1, maxLength: 2 },
      ),
    },
    { requiredKeys: [] },
  ) as fc.Arbitrary<LabelSelector>;
}

const selector = fc.oneof(
  { weight: 6, arbitrary: selectorOf(LABELS) },
  { weight: 1, arbitrary: selectorOf(RESERVED) },
  { weight: 1, arbitrary: fc.constant<LabelSelector>({}) },
);
const nodeSelector = selectorOf([
  ["zone", "z0"],
  ["zone", "z1"],
  ["k8s:zone", "z1"],
  ["kubernetes.io/hostname", "n1"],
  ["reserved:host", ""],
]);

const cidrRule = fc
  .tuple(
    fc.constantFrom(...CIDRS),
    fc.subarray(["10.9.128.0/17", "10.9.129.0/24"], { maxLength: 2 }),
  )
  .map(([cidr, except]) => {
    const fits = cidr.startsWith("10.0.") || cidr.startsWith("10.9.0") || cidr === "0.0.0.0/0";
    return { cidr, ...(fits && except.length > 0 && { except }) };
  });
const groupRule = fc.oneof(
  fc.constantFrom("one", "two", "three").map((cidrGroupRef) => ({ cidrGroupRef })),
  fc
    .constantFrom({ kind: "g" }, { size: "small" }, { size: "big" }, { size: "none" })
    .map((matchLabels) => ({ cidrGroupSelector: { matchLabels } })),
  fc.constant({
    cidrGroupSelector: { matchExpressions: [{ key: "size", operator: "NotIn", values: ["big"] }] },
    except: ["10.9.129.0/24"],
  }),
);
const entity = fc.constantFrom(
  ..."all world cluster host remote-node kube-apiserver health init ingress unmanaged none world-ipv4 world-ipv6".split(
    " ",
  ),
);
const list = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 2 });
/** At times nobody at all. */
const seldomEmpty = <T>(of: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 12, arbitrary: list(of) }, { weight: 1, arbitrary: fc.constant<T[]>([]) });

function peers(side: "from" | "to", isDeny: boolean): fc.Arbitrary<object> {
  const egress = side === "to";
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant({}) },
    { weight: 6, arbitrary: seldomEmpty(selector).map((of) => ({ [`${side}Endpoints`]: of })) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(list(selector), list(selectorOf(LABELS.slice(0, 5))))
        .map(([of, needs]) => ({ [`${side}Endpoints`]: of, [`${side}Requires`]: needs })),
    },
    { weight: 4, arbitrary: list(entity).map((of) => ({ [`${side}Entities`]: of })) },
    {
      weight: 2,
      arbitrary: seldomEmpty(fc.constantFrom(...CIDRS)).map((of) => ({ [`${side}CIDR`]: of })),
    },
    {
      weight: 3,
      arbitrary: list(fc.oneof(cidrRule, groupRule)).map((of) => ({ [`${side}CIDRSet`]: of })),
    },
    ...(egress
      ? [
          {
            weight: 1,
            arbitrary: list(
              fc.constantFrom<object>(
                { k8sService: { serviceName: "chosen", namespace: "red" } },
                { k8sService: { serviceName: "given" } },
                { k8sService: { serviceName: "none" } },
                { k8sServiceSelector: { selector: { matchLabels: { tier: "back" } } } },
              ),
            ).map((toServices) => ({ toServices })),
          },
        ]
      : []),
    ...(egress && !isDeny
      ? [
          {
            weight: 1,
            arbitrary: fc.constantFrom<object>(
              { toFQDNs: [{ matchName: "docs.example.com" }] },
              { toFQDNs: [{ matchPattern: "*.example.com" }] },
            ),
          },
        ]
      : []),
  );
}

const port = fc.oneof(
  fc.record(
    {
      port: fc.constantFrom("80", "443", "0", "web", "db", "8080"),
      protocol: fc.constantFrom("TCP", "UDP", "ANY", "SCTP"),
    },
    { requiredKeys: ["port"] },
  ),
  fc
    .tuple(fc.constantFrom(0, 79, 80, 400, 5000), fc.constantFrom(79, 90, 443, 6000, 65_535))
    .map(([first, endPort]) => ({ port: `${first}`, endPort, protocol: "TCP" })),
);
const icmps = list(
  fc.record(
    {
      type: fc.constantFrom<number | string>(0, 3, 8, "EchoRequest", "TimeExceeded"),
      family: fc.constantFrom("IPv4", "IPv6"),
    },
    { requiredKeys: ["type"] },
  ),
).map((fields) => ({ icmps: [{ fields }] }));
const http = fc
  .tuple(
    list(fc.constantFrom("80", "8080", "web").map((each) => ({ port: each, protocol: "TCP" }))),
    fc.constantFrom("/a", "/b"),
  )
  .map(([ports, path]) => ({ ports, rules: { http: [{ path }] } }));
const names = fc.constant({
  ports: [{ port: "443", protocol: "TCP" }],
  serverNames: ["a.example.com"],
});

function at(isNode: boolean, isDeny: boolean): fc.Arbitrary<object> {
  const plain = list(port).map((ports) => ({ ports }));
  const portRule =
    isDeny || isNode
      ? plain
      : fc.oneof(
          { weight: 5, arbitrary: plain },
          { weight: 2, arbitrary: http },
          { weight: 1, arbitrary: names },
        );
  return fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    { weight: 5, arbitrary: list(portRule).map((toPorts) => ({ toPorts })) },
    { weight: 1, arbitrary: icmps },
    { weight: 1, arbitrary: fc.constant({ toPorts: [{ ports: [] }] }) },
  );
}

const section = (side: "from" | "to", isDeny: boolean, isNode: boolean) =>
  fc.array(
    fc.tuple(peers(side, isDeny), at(isNode, isDeny)).map(([who, ports]) => ({ ...who, ...ports })),
    { maxLength: 2 },
  );

function spec(isNode: boolean): fc.Arbitrary<object> {
  const subject = isNode
    ? nodeSelector.map((each) => ({ nodeSelector: each }))
    : fc
        .oneof(
          { weight: 2, arbitrary: fc.constant({}) },
          { weight: 3, arbitrary: selectorOf(LABELS) },
        )
        .map((each) => ({ endpointSelector: each }));
  return fc
    .tuple(
      subject,
      fc.record(
        {
          ingress: section("from", false, isNode),
          ingressDeny: section("from", true, isNode),
          egress: section("to", false, isNode),
          egressDeny: section("to", true, isNode),
          enableDefaultDeny: fc.record(
            { ingress: fc.boolean(), egress: fc.boolean() },
            { requiredKeys: [] },
          ),
        },
        { requiredKeys: [] },
      ),
    )
    .map(([who, what]) => ({ ...who, ...what }));
}

const metadata = fc.record({
  name: fc.constant("p"),
  namespace: fc.constantFrom(...NAMESPACES),
});
const apiVersion = fc.constant("cilium.io/v2");
const cnp = fc.oneof(
  fc.record({ apiVersion, kind: fc.constant("CiliumNetworkPolicy"), metadata, spec: spec(false) }),
  fc.record({
    apiVersion,
    kind: fc.constant("CiliumNetworkPolicy"),
    metadata,
    specs: fc.array(spec(false), { minLength: 1, maxLength: 2 }),
  }),
);
const ccnp = fc.record({
  apiVersion,
  kind: fc.constant("CiliumClusterwideNetworkPolicy"),
  metadata: fc.record({ name: fc.constant("p") }),
  spec: fc.oneof({ weight: 3, arbitrary: spec(false) }, { weight: 1, arbitrary: spec(true) }),
});

const plainSelector = selectorOf([
  ["app", "a"],
  ["app", "b"],
  ["team", "x"],
]);
const npPeer = fc.oneof(
  fc.record(
    {
      podSelector: fc.oneof(plainSelector, fc.constant<LabelSelector>({})),
      namespaceSelector: fc.oneof(
        selectorOf([
          ["colour", "red"],
          ["colour", "blue"],
        ]),
        fc.constant<LabelSelector>({}),
      ),
    },
    { requiredKeys: ["podSelector"] },
  ),
  cidrRule.filter(({ cidr }) => !cidr.includes(":")).map((ipBlock) => ({ ipBlock })),
);
const npPort = fc.record(
  {
    port: fc.constantFrom<number | string>(80, 443, "web"),
    protocol: fc.constantFrom("TCP", "UDP"),
  },
  { requiredKeys: [] },
);
const np = fc
  .record({
    metadata,
    podSelector: fc.oneof(plainSelector, fc.constant<LabelSelector>({})),
    ingress: fc.option(
      fc.array(
        fc.record(
          { from: fc.array(npPeer, { maxLength: 2 }), ports: fc.array(npPort, { maxLength: 2 }) },
          { requiredKeys: [] },
        ),
        { maxLength: 2 },
      ),
      { nil: undefined },
    ),
    egress: fc.option(
      fc.array(
        fc.record(
          { to: fc.array(npPeer, { maxLength: 2 }), ports: fc.array(npPort, { maxLength: 2 }) },
          { requiredKeys: [] },
        ),
        { maxLength: 2 },
      ),
      { nil: undefined },
    ),
    policyTypes: fc.subarray(["Ingress", "Egress"], { minLength: 1 }),
  })
  .map(({ metadata: of, podSelector, ingress, egress, policyTypes }) => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: of,
    spec: {
      podSelector,
      policyTypes,
      ...(ingress && policyTypes.includes("Ingress") && { ingress }),
      ...(egress && policyTypes.includes("Egress") && { egress }),
    },
  }));

export const policies: fc.Arbitrary<readonly KubeObject[]> = fc
  .array(
    fc.oneof(
      { weight: 5, arbitrary: cnp },
      { weight: 3, arbitrary: ccnp },
      { weight: 2, arbitrary: np },
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((all) =>
    all.map((policy, i) => ({ ...policy, metadata: { ...policy.metadata, name: `p${i}` } })),
  )
  .map((all) => all as unknown as readonly KubeObject[]);

/** Values of the chart. */
export const options: fc.Arbitrary<Readonly<Record<string, string | boolean>>> = fc.record(
  {
    policyEnforcementMode: fc.constantFrom("default", "default", "always", "never"),
    "hostFirewall.enabled": fc.boolean(),
    "clustermesh.policyDefaultLocalCluster": fc.boolean(),
    policyCIDRMatchMode: fc.constantFrom("", "nodes"),
  },
  { requiredKeys: [] },
);
