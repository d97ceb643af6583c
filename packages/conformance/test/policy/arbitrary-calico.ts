import type { v3 } from "@cnilab/calico";
import type { KubeObject, Labels, Protocol } from "@cnilab/core";
import fc from "fast-check";

// Random clusters and policies out of small vocabularies, so that selectors, ranges and ports often meet.

const KEYS = ["app", "tier"];
const VALUES = ["a", "b", "ab"];
const NAMESPACES = ["x", "y"];
const ACCOUNTS = ["s", "t"];
const TIERS = ["default", "default", "first", "last", "none"];
const PORTS = [53, 80, 81, 8080];
const PORT_NAMES = ["http", "dns"];
const NETS = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.4/31", "192.0.2.0/24", "fd00::/64", "::/0"];
const SERVICES = ["one", "two"];

const few = <T>(each: fc.Arbitrary<T>, least = 0) =>
  fc.uniqueArray(each, { minLength: least, maxLength: 2, comparator: "SameValue" });
const key = fc.constantFrom(...KEYS);
const value = fc.constantFrom(...VALUES);
const namespace = fc.constantFrom(...NAMESPACES);
/** Seldom: a rule with many conditions matches nothing. */
const maybe = <T>(each: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: each });

const labels: fc.Arbitrary<Labels> = fc.dictionary(key, value, {
  maxKeys: 2,
  noNullPrototype: true,
});

/** Texts of selectors. */
export const selectors: fc.Arbitrary<string> = fc.letrec<{ readonly text: string }>((tie) => ({
  text: fc.oneof(
    { maxDepth: 2, withCrossShrink: true },
    fc.constantFrom("", "all()"),
    key.map((k) => `has(${k})`),
    fc
      .tuple(key, fc.constantFrom("==", "!=", "contains", "starts with", "ends with"), value)
      .map(([k, op, v]) => `${k} ${op} "${v}"`),
    fc
      .tuple(key, fc.constantFrom("in", "not in"), few(value))
      .map(([k, op, vs]) => `${k} ${op} {${vs.map((v) => `"${v}"`).join(", ")}}`),
    tie("text").map((text) => (text === "" ? "all()" : `!(${text})`)),
    fc
      .tuple(tie("text"), fc.constantFrom("&&", "||"), tie("text"))
      .map(([x, op, y]) => `(${x === "" ? "all()" : x}) ${op} (${y === "" ? "has(app)" : y})`),
  ),
})).text;

const namespaceSelector = fc.constantFrom(
  "all()",
  "global()",
  'projectcalico.org/name == "x"',
  'team == "a"',
);

const port = fc.oneof(
  fc.constantFrom(...PORTS),
  fc.constantFrom("80:90", "1:65535"),
  fc.constantFrom(...PORT_NAMES),
);

/** @param hasPorts whether the rule's protocol has some */
const entity = (hasPorts: boolean): fc.Arbitrary<v3.EntityRule> =>
  fc
    .record({
      selector: maybe(selectors),
      notSelector: maybe(selectors),
      namespaceSelector: maybe(namespaceSelector),
      nets: maybe(few(fc.constantFrom(...NETS), 1)),
      notNets: maybe(few(fc.constantFrom(...NETS), 1)),
      serviceAccounts: maybe(fc.record({ names: few(fc.constantFrom(...ACCOUNTS), 1) })),
      ports: hasPorts ? maybe(few(port, 1)) : fc.constant(undefined),
      notPorts: hasPorts ? maybe(few(port, 1)) : fc.constant(undefined),
    })
    .map(withoutUndefined<v3.EntityRule>);

const icmp = fc
  .record({ type: fc.constantFrom(0, 8), code: maybe(fc.constantFrom(0, 1)) })
  .map(withoutUndefined<v3.ICMPFields>);
const action = fc.constantFrom<v3.Rule["action"]>(
  "Allow",
  "Allow",
  "Allow",
  "Deny",
  "Deny",
  "Log",
  "Pass",
);
const service = fc.record({ name: fc.constantFrom(...SERVICES), namespace });

/** @param isIngress of which direction: rules about Services are not the same in both */
const rule = (isIngress: boolean): fc.Arbitrary<v3.Rule> =>
  fc
    .oneof(
      {
        weight: 4,
        arbitrary: matching(fc.constantFrom<v3.Rule["protocol"]>("TCP", "UDP", 132), true),
      },
      {
        weight: 2,
        arbitrary: matching(fc.constantFrom<v3.Rule["protocol"]>(undefined, "ICMP", 47), false),
      },
      {
        weight: 1,
        arbitrary: fc.record({ action, protocol: fc.constant("ICMP"), icmp, notICMP: maybe(icmp) }),
      },
      {
        weight: 1,
        arbitrary: service.chain((services) =>
          fc.record<v3.Rule>(
            isIngress
              ? { action, source: fc.constant({ services }) }
              : { action, destination: fc.constant({ services }) },
          ),
        ),
      },
    )
    .map(withoutUndefined<v3.Rule>);

function matching(
  protocol: fc.Arbitrary<v3.Rule["protocol"]>,
  hasPorts: boolean,
): fc.Arbitrary<v3.Rule> {
  return (
    fc
      .record({
        action,
        protocol,
        ipVersion: maybe(fc.constantFrom(4, 6)),
        notProtocol: maybe(fc.constantFrom("TCP", "ICMP", 47)),
        source: entity(hasPorts),
        destination: entity(hasPorts),
      })
      // iptables has room for one of them.
      .map(({ notProtocol, ...each }) =>
        each.protocol === undefined ? { ...each, notProtocol } : each,
      ) as fc.Arbitrary<v3.Rule>
  );
}

const types = fc.constantFrom(["Ingress"], ["Egress"], ["Ingress", "Egress"]);
const spec = fc.record({
  tier: fc.constantFrom(...TIERS),
  order: maybe(fc.constantFrom(1, 2)),
  selector: fc.oneof(fc.constant("all()"), selectors),
  serviceAccountSelector: maybe(fc.constantFrom('role == "a"', "all()")),
  types,
  ingress: few(rule(true)),
  egress: few(rule(false)),
});

/** Policies of Calico, some of them staged or of tiers that there are not. */
export const policies: fc.Arbitrary<readonly KubeObject[]> = fc
  .array(
    fc.oneof(
      fc.record({ kind: fc.constantFrom("NetworkPolicy", "StagedNetworkPolicy"), namespace, spec }),
      fc.record({
        kind: fc.constant("GlobalNetworkPolicy"),
        spec: fc
          .tuple(
            spec,
            maybe(namespaceSelector),
            fc.constantFrom(
              {},
              {},
              { doNotTrack: true, applyOnForward: true },
              { preDNAT: true, applyOnForward: true },
            ),
          )
          .map(([each, selector, phase]) => ({ ...each, namespaceSelector: selector, ...phase })),
      }),
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((all) =>
    all.map(
      (each, i) =>
        ({
          apiVersion: "projectcalico.org/v3",
          kind: each.kind,
          metadata: { name: `p${i}`, ...("namespace" in each && { namespace: each.namespace }) },
          spec: withoutUndefined(each.spec),
        }) as unknown as KubeObject,
    ),
  );

const container = fc
  .uniqueArray(
    fc.record({
      name: fc.constantFrom(...PORT_NAMES),
      containerPort: fc.constantFrom(...PORTS),
      protocol: fc.constantFrom<Protocol>("TCP", "UDP"),
    }),
    { maxLength: 2, selector: ({ name }) => name },
  )
  .map((ports) => ({ name: "c", ports }));

const pods = fc
  .array(fc.record({ namespace, labels, container, account: fc.constantFrom(...ACCOUNTS) }), {
    minLength: 1,
    maxLength: 6,
  })
  .map((all) =>
    all.map((pod, i) => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: `p${i}`, namespace: pod.namespace, labels: pod.labels },
      spec: { nodeName: `n${i % 2}`, serviceAccountName: pod.account, containers: [pod.container] },
      status: {
        podIP: `10.0.0.${i + 1}`,
        podIPs: [{ ip: `10.0.0.${i + 1}` }, { ip: `fd00::${i + 1}` }],
      },
    })),
  );

const networkSets = few(fc.record({ labels, nets: few(fc.constantFrom(...NETS)) })).map((all) =>
  all.map((set, i) => ({
    apiVersion: "projectcalico.org/v3",
    kind: "GlobalNetworkSet",
    metadata: { name: `s${i}`, labels: set.labels },
    spec: { nets: set.nets },
  })),
);

const hostEndpoints = few(
  fc.record({ labels, profiles: fc.constantFrom([], ["projectcalico-default-allow"]) }),
).map((all) =>
  all.map((host, i) => ({
    apiVersion: "projectcalico.org/v3",
    kind: "HostEndpoint",
    metadata: { name: `h${i}`, labels: host.labels },
    spec: {
      node: `n${i}`,
      interfaceName: "*",
      expectedIPs: [`192.0.2.${i + 1}`],
      profiles: host.profiles,
    },
  })),
);

const slices = few(
  fc.record({
    namespace,
    name: fc.constantFrom(...SERVICES),
    address: fc.constantFrom("10.0.0.1", "10.0.0.2", "192.0.2.9"),
    ports: few(
      fc.record({ port: fc.constantFrom(...PORTS), protocol: fc.constantFrom("TCP", "UDP") }),
    ),
  }),
).map((all) =>
  all.map((slice, i) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `e${i}`,
      namespace: slice.namespace,
      labels: { "kubernetes.io/service-name": slice.name },
    },
    addressType: "IPv4",
    endpoints: [{ addresses: [slice.address] }],
    ports: slice.ports,
  })),
);

const FIXED = [
  ...["x", "y"].map((name, i) => ({
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: { team: VALUES[i] } },
  })),
  {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata: { name: "s", namespace: "x", labels: { role: "a" } },
  },
  ...[1, 2].map((i) => ({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: `n${i - 1}`, labels: {} },
    status: { addresses: [{ type: "InternalIP", address: `192.0.2.${i}` }] },
  })),
  tier("first", { order: 1, defaultAction: "Pass" }),
  tier("last", {}),
];

function tier(name: string, ofTier: object): object {
  return { apiVersion: "projectcalico.org/v3", kind: "Tier", metadata: { name }, spec: ofTier };
}

/** All that policies look at besides themselves. */
export const clusters: fc.Arbitrary<readonly KubeObject[]> = fc
  .tuple(pods, networkSets, hostEndpoints, slices)
  .map((all) => [...FIXED, ...all.flat()] as unknown as readonly KubeObject[]);

/** Its properties are optional ones of `T`. */
function withoutUndefined<T extends object>(object: object): T {
  return Object.fromEntries(Object.entries(object).filter(([, each]) => each !== undefined)) as T;
}
