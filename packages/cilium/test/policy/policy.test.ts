import type { NetworkPolicy } from "@cnilab/core";
import { FieldError, formatPath } from "@cnilab/core/validation";
import { parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type {
  CiliumClusterwideNetworkPolicy,
  CiliumNetworkPolicy,
} from "../../src/api/v2/network-policy.ts";
import type { Rule } from "../../src/api/v2/rule.ts";
import { RESERVED_LABELS } from "../../src/identity/reserved-identities.ts";
import { type LabelSet, parseLabels } from "../../src/labels/label-set.ts";
import { ciliumPolicyRules } from "../../src/policy/cilium-policy.ts";
import { EndpointPolicy, type PolicyOwner } from "../../src/policy/endpoint-policy.ts";
import { kubernetesPolicyRule } from "../../src/policy/kubernetes-policy.ts";
import { ALL_FEATURES, MapState } from "../../src/policy/map-state.ts";
import { ALLOW, type PolicyMapEntry } from "../../src/policy/policy-map-entry.ts";
import { coversPorts, type PolicyMapKey } from "../../src/policy/policy-map-key.ts";
import { PolicyRepository } from "../../src/policy/policy-repository.ts";
import { formatRule, requiresDerivative } from "../../src/policy/policy-rule.ts";
import { DEFAULT_POLICY_SETTINGS, type PolicySettings } from "../../src/policy/policy-settings.ts";
import { SelectorCache } from "../../src/policy/selector-cache.ts";
import { resolveServices } from "../../src/policy/to-services.ts";

const SETTINGS = DEFAULT_POLICY_SETTINGS;

function policy(rule: object): CiliumNetworkPolicy {
  return {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata: { name: "p", namespace: "shop" },
    spec: { endpointSelector: {}, ...rule } as Rule,
  };
}

/** What an agent says against a policy. */
function refusal(
  of: CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy,
  settings: PolicySettings = SETTINGS,
): string | undefined {
  try {
    ciliumPolicyRules(of, settings);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    expect(error.message.startsWith(formatPath(error.path))).toBe(true);
    return error.message;
  }
  return undefined;
}

const HTTP = { http: [{ path: "/" }] };

test.each<[rule: object, message: string]>([
  [{ ingress: [] }, "spec must have a rule in ingress, ingressDeny, egress or egressDeny"],
  [
    { ingress: [{ fromEndpoints: [{}], fromEntities: ["world"] }] },
    "spec.ingress[0].fromEntities cannot stand beside fromEndpoints",
  ],
  [
    { egress: [{ toFQDNs: [{ matchName: "a.b" }], toCIDR: ["10.0.0.0/8"] }] },
    "spec.egress[0].toFQDNs cannot stand beside toCIDR",
  ],
  [
    { ingress: [{ fromEndpoints: [{ matchLabels: { "a b": "c" } }] }] },
    "spec.ingress[0].fromEndpoints[0].matchLabels",
  ],
  [{ ingress: [{ fromCIDR: ["10.0.0.0/99"] }] }, "spec.ingress[0].fromCIDR[0] must be a range"],
  [
    { egress: [{ toCIDRSet: [{ cidr: "10.0.0.0/8", except: ["11.0.0.0/16"] }] }] },
    "spec.egress[0].toCIDRSet[0].except[0] must lie in cidr 10.0.0.0/8",
  ],
  [{ ingress: [{ fromNodes: [{}] }] }, "spec.ingress[0].fromNodes needs the setting"],
  [
    { ingress: [{ toPorts: [{ ports: [{ port: "53", protocol: "UDP" }], rules: HTTP }] }] },
    "spec.ingress[0].toPorts[0].ports[0].protocol must be TCP beside rules, not UDP",
  ],
  [
    { ingress: [{ toPorts: [{ ports: [{ port: "0", protocol: "TCP" }], rules: HTTP }] }] },
    "spec.ingress[0].toPorts[0].rules cannot be for port 0",
  ],
  [
    {
      ingress: [
        { toPorts: [{ ports: [{ port: "53" }], rules: { dns: [{ matchPattern: "*" }] } }] },
      ],
    },
    "spec.ingress[0].toPorts[0].rules.dns cannot be for ingress",
  ],
  [
    { egress: [{ toPorts: [{ ports: [{ port: "66000" }] }] }] },
    'spec.egress[0].toPorts[0].ports[0].port must be a port or the name of one, not "66000"',
  ],
  [
    { egress: [{ icmps: [{ fields: [{ type: 8 }] }], toPorts: [{}] }] },
    "spec.egress[0].icmps cannot stand beside toPorts",
  ],
  [
    { egress: [{ icmps: [{ fields: [{ type: "PacketTooBig" }] }] }] },
    "spec.egress[0].icmps[0].fields[0].type is no type of ICMP for IPv4: PacketTooBig",
  ],
  [
    {
      ingress: [
        {
          toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules: { http: [{ path: "(" }] } }],
        },
      ],
    },
    'spec.ingress[0].toPorts[0].rules.http[0].path must be a regular expression, not "("',
  ],
])("an agent refuses %j", (rule, message) => {
  expect(refusal(policy(rule))).toContain(message);
});

test("flags and named groups of Go's expressions are understood", () => {
  const rules = { http: [{ method: "(?i)get", path: "/(?P<id>[0-9]+)" }] };
  const given = policy({
    ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules }] }],
  });
  expect(refusal(given)).toBeUndefined();
});

test("nodes are selected by clusterwide policies alone, and HTTP is not read on their way in", () => {
  const spec = {
    nodeSelector: {},
    ingress: [{ toPorts: [{ ports: [{ port: "80", protocol: "TCP" }], rules: HTTP }] }],
  };
  const clusterwide: CiliumClusterwideNetworkPolicy = {
    apiVersion: "cilium.io/v2",
    kind: "CiliumClusterwideNetworkPolicy",
    metadata: { name: "p" },
    spec: spec as Rule,
  };
  expect(refusal(clusterwide)).toContain("cannot be for what comes in to nodes");
  const plain = { ...policy({}), spec: { nodeSelector: {}, ingress: [{}] } };
  expect(refusal(plain)).toContain(
    "spec.nodeSelector can stand in a CiliumClusterwideNetworkPolicy",
  );
});

const WEB = parseLabels(["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"]);
const IDENTITIES: readonly (readonly [number, LabelSet])[] = [
  ...RESERVED_LABELS,
  [30001, WEB],
  [30002, parseLabels(["k8s:app=api", "k8s:io.kubernetes.pod.namespace=shop"])],
  [30003, parseLabels(["k8s:app=api", "k8s:io.kubernetes.pod.namespace=other"])],
  [0x01000001, parseLabels(["cidr:10.0.0.0/8", "reserved:world"])],
  [0x01000002, parseLabels(["cidr:10.1.0.0/16", "reserved:world"])],
];

const OWNER: PolicyOwner = {
  endpointId: 7,
  isHost: false,
  namedPort: (_direction, name) => (name === "http" ? 8080 : 0),
  proxyPort: () => 15001,
};

function endpointPolicy(
  policies: readonly (CiliumNetworkPolicy | NetworkPolicy)[],
  cache: SelectorCache,
  settings: PolicySettings = SETTINGS,
): EndpointPolicy {
  const repository = new PolicyRepository(settings);
  policies.forEach((each, i) => {
    const rules =
      each.kind === "NetworkPolicy"
        ? [kubernetesPolicyRule(each, settings)]
        : ciliumPolicyRules(each, settings);
    repository.replace(String(i), rules);
  });
  const resolved = repository.resolve({ identity: 30001, labels: WEB });
  return new EndpointPolicy(resolved, OWNER, cache, { allowLocalhost: true });
}

function cacheOf(identities: Iterable<readonly [number, LabelSet]>): SelectorCache {
  const cache = new SelectorCache();
  cache.updateIdentities(new Map(identities), []);
  return cache;
}

function keysOf({ mapState }: EndpointPolicy): readonly string[] {
  return [...mapState.entries()].map(([key, entry]) => JSON.stringify([key, entry.deny])).sort();
}

const PACKETS: readonly PolicyMapKey[] = IDENTITIES.flatMap(([identity]) =>
  [
    [6, 80],
    [6, 8080],
    [17, 53],
    [6, 443],
    [1, 8],
  ].map(([protocol = 0, port = 0]) => ({
    direction: "ingress",
    identity,
    protocol,
    port,
    portPrefixLength: 16,
  })),
);

function verdictsOf({ mapState }: EndpointPolicy): readonly (boolean | undefined)[] {
  return PACKETS.map((key) => mapState.lookup(key)?.deny);
}

const peer = fc.constantFrom<object>(
  {},
  { fromEndpoints: [{ matchLabels: { app: "api" } }] },
  { fromEndpoints: [] },
  { fromEndpoints: [{}] },
  { fromEntities: ["all"] },
  { fromEntities: ["world"] },
  { fromEntities: ["cluster", "host"] },
  { fromCIDRSet: [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] }] },
  { fromCIDR: ["0.0.0.0/0"] },
);
const ports = fc.constantFrom<object>(
  {},
  { toPorts: [{ ports: [{ port: "80", protocol: "TCP" }] }] },
  { toPorts: [{ ports: [{ port: "http" }, { port: "1", endPort: 90 }] }] },
  { toPorts: [{ ports: [{ port: "0", protocol: "UDP" }] }] },
  { icmps: [{ fields: [{ type: 8 }] }] },
);
const plainRule = fc.tuple(peer, ports).map(([x, y]) => ({ ...x, ...y }));
const anyPolicy = fc
  .record({
    ingress: fc.array(plainRule, { minLength: 1, maxLength: 3 }),
    ingressDeny: fc.array(plainRule, { maxLength: 2 }),
  })
  .map(policy);

describe("the policy of an endpoint", () => {
  /** Beside entries for anybody the agent leaves out equal ones, but not such as come later: what packets meet is the same. */
  test("says the same whenever identities become known, and when some go and come again", () => {
    const some = fc.subarray(IDENTITIES.map(([identity]) => identity).filter((each) => each > 1));
    fc.assert(
      fc.property(fc.array(anyPolicy, { maxLength: 2 }), some, (policies, gone) => {
        const want = verdictsOf(endpointPolicy(policies, cacheOf(IDENTITIES)));
        const cache = cacheOf([]);
        const late = endpointPolicy(policies, cache);
        for (const each of IDENTITIES) cache.updateIdentities(new Map([each]), []);
        expect(verdictsOf(late)).toEqual(want);
        cache.updateIdentities(new Map(), gone);
        for (const [{ identity }] of late.mapState.entries()) expect(gone).not.toContain(identity);
        cache.updateIdentities(new Map(IDENTITIES), []);
        expect(verdictsOf(late)).toEqual(want);
        late.detach();
        cache.updateIdentities(new Map(), gone);
        expect(verdictsOf(late)).toEqual(want);
      }),
    );
  });

  test("allows what a rule allows and none denies, whatever the entries are", () => {
    fc.assert(
      fc.property(fc.array(anyPolicy, { minLength: 1, maxLength: 2 }), (policies) => {
        const cache = cacheOf(IDENTITIES);
        const { mapState } = endpointPolicy(policies, cache);
        // Each rule alone, in a policy of its own, with the others' effect put together by hand.
        const alone = (section: "ingress" | "ingressDeny") =>
          policies.flatMap((each) =>
            (each.spec?.[section] ?? []).map((rule) =>
              endpointPolicy([policy({ ingress: [rule] })], cache),
            ),
          );
        const [allows, denies] = [alone("ingress"), alone("ingressDeny")];
        for (const key of PACKETS) {
          const hits = ({ mapState: state }: EndpointPolicy) => state.lookup(key) !== undefined;
          const isHost = key.identity === 1;
          const denied = denies.some((each) => (isHost ? hitsButLocalhost(each, key) : hits(each)));
          const allowed = isHost || allows.some(hits);
          const entry = mapState.lookup(key);
          expect(entry !== undefined && !entry.deny).toBe(allowed && !denied);
        }
      }),
      { numRuns: 50 },
    );
  });

  test("does not tell of a port by a name that no container has", () => {
    const nameless = policy({ ingress: [{ toPorts: [{ ports: [{ port: "nothing" }] }] }] });
    const entries = keysOf(endpointPolicy([nameless], cacheOf(IDENTITIES)));
    expect(entries).toHaveLength(2);
  });
});

/** The node may come in by an entry of its own, which hides whether a rule says so, too. */
function hitsButLocalhost({ mapState }: EndpointPolicy, key: PolicyMapKey): boolean {
  for (const [at, entry] of mapState.entries()) {
    if (at.identity !== 0 && at.identity !== 1) continue;
    if (!coversPorts(at, key) || entry === ALLOW) continue;
    if (at.identity === 1 && at.protocol === 0 && entry.rules.length === 0) continue;
    return true;
  }
  return false;
}

test("entries of one identity: a denying one takes all in it, and hides what comes later", () => {
  const tcp = (port: number, portPrefixLength: number): PolicyMapKey => ({
    direction: "ingress",
    identity: 30002,
    protocol: 6,
    port,
    portPrefixLength,
  });
  const deny: PolicyMapEntry = { ...ALLOW, deny: true };
  const state = new MapState();
  state.insert(tcp(80, 16), ALLOW, ALL_FEATURES);
  state.insert(tcp(0, 0), deny, ALL_FEATURES);
  state.insert(tcp(443, 16), ALLOW, ALL_FEATURES);
  expect([...state.entries()]).toEqual([[tcp(0, 0), deny]]);
  expect(state.size).toBe(1);
  state.delete(tcp(0, 0));
  expect(state.lookup(tcp(80, 16))).toBeUndefined();
});

test("Services stand for what they select, or for their backends", () => {
  const [rule] = ciliumPolicyRules(
    policy({
      egress: [
        { toServices: [{ k8sService: { serviceName: "db" } }] },
        { toServices: [{ k8sServiceSelector: { selector: { matchLabels: { kind: "out" } } } }] },
      ],
    }),
    SETTINGS,
  );
  if (rule === undefined) throw new Error("no rule");
  const resolved = resolveServices(
    rule,
    [
      { name: "db", namespace: "data", labels: {}, selector: { app: "db" }, backends: [] },
      {
        name: "mail",
        namespace: "shop",
        labels: { kind: "out" },
        selector: {},
        backends: [parseIp("192.0.2.25")],
      },
    ],
    SETTINGS,
  );
  expect(formatRule(resolved).egress).toMatchObject([
    {
      toEndpoints: [
        { matchLabels: { "any:app": "db", "k8s:io.kubernetes.pod.namespace": "data" } },
      ],
    },
    { toCIDRSet: [{ cidr: "192.0.2.25/32" }] },
  ]);
});

test.each<[rule: object, is: boolean]>([
  [{ egress: [{ toGroups: [{ aws: { region: "eu-west-1" } }] }] }, true],
  [{ ingressDeny: [{ fromGroups: [{}] }] }, true],
  [{ egress: [{ toGroups: [] }] }, false],
])("%j needs what the operator derives from it: %s", (given, is) => {
  expect(ciliumPolicyRules(policy(given), SETTINGS).some(requiresDerivative)).toBe(is);
});

/** Anything in any place of a rule that the API server takes as a mapping. */
const junk = fc.oneof(
  fc.constantFrom<unknown>("", "80", "*", "10.0.0.0/8", "k8s:app", [], {}, [{}], 0, 80),
  fc.string(),
);

test("whatever the texts of a rule are, an agent refuses it with the field, or keeps it", () => {
  const texts = fc.record({
    port: fc.oneof(fc.constantFrom("80", "http", "0", "007"), fc.string()),
    cidr: fc.oneof(fc.constantFrom("10.0.0.0/8", "::/0"), fc.string()),
    key: fc.oneof(fc.constantFrom("app", "k8s:app", "$host"), fc.string()),
    name: fc.oneof(fc.constantFrom("*.example.com", "*"), fc.string()),
  });
  fc.assert(
    fc.property(texts, junk, ({ port, cidr, key, name }, value) => {
      const given = policy({
        endpointSelector: { matchLabels: { [key]: typeof value === "string" ? value : "x" } },
        ingress: [
          { fromCIDRSet: [{ cidr, except: [cidr] }], toPorts: [{ ports: [{ port }] }] },
          { fromEndpoints: [{ matchExpressions: [{ key, operator: "Exists" }] }] },
        ],
        egress: [{ toFQDNs: [{ matchPattern: name }] }],
      });
      if (refusal(given) !== undefined) return;
      keysOf(endpointPolicy([given], cacheOf(IDENTITIES)));
    }),
  );
});
