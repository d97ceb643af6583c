import { existsSync, readFileSync } from "node:fs";
import type { CustomResource, KubeObject, StoredObjects } from "@cnilab/core";
import { FieldError, formatPath } from "@cnilab/core/validation";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CALICO_RESOURCES } from "../../src/api/resources.ts";
import { NAMES, VALID_SPECS } from "./valid-objects.ts";

interface WithSpec extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
}

function resourceOf(kind: string): CustomResource {
  return CALICO_RESOURCES.find((each) => each.kind === kind) as CustomResource;
}

function objectOf(kind: string, spec: unknown, name: string = NAMES[kind] ?? "a"): KubeObject {
  return { apiVersion: "projectcalico.org/v3", kind, metadata: { name }, spec } as KubeObject;
}

/** What is wrong with it, or nothing. */
function problem(kind: string, spec: unknown, name?: string): string | undefined {
  const object = objectOf(kind, structuredClone(spec), name);
  const { check, name: checkName } = resourceOf(kind);
  try {
    checkName?.(object.metadata.name, ["metadata", "name"]);
    check(object, []);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    expect(error.message.startsWith(formatPath(error.path))).toBe(true);
    return error.message;
  }
  return undefined;
}

function defaulted(kind: string, spec: unknown, name?: string): WithSpec {
  const object = objectOf(kind, spec, name);
  return (resourceOf(kind).default?.(object) ?? object) as WithSpec;
}

test("there is a valid object of every kind", () => {
  expect(Object.keys(VALID_SPECS).sort()).toEqual(CALICO_RESOURCES.map((r) => r.kind).sort());
});

test.each(Object.entries(VALID_SPECS))("a %s is understood", (kind, spec) => {
  expect(problem(kind, spec)).toBeUndefined();
});

test.each<[kind: string, spec: unknown, message: string, name?: string]>([
  ["IPPool", {}, "spec.cidr is required and missing"],
  [
    "IPPool",
    { cidr: "10.0.0.0" },
    'spec.cidr must be a range in CIDR notation such as 10.0.0.0/8, not "10.0.0.0"; write 10.0.0.0/32',
  ],
  [
    "IPPool",
    { cidr: "10.0.0.1/16" },
    "spec.cidr has bits set behind its length: 10.0.0.1/16; write 10.0.0.0/16",
  ],
  ["IPPool", { cidr: "10.0.0.0/27" }, "spec.cidr is smaller than one block of /26: 10.0.0.0/27"],
  [
    "IPPool",
    { cidr: "10.0.0.0/16", blockSize: 19 },
    "spec.blockSize must be between 20 and 32, not 19",
  ],
  [
    "IPPool",
    { cidr: "fd00::/64", blockSize: 26 },
    "spec.blockSize must be between 116 and 128, not 26",
  ],
  [
    "IPPool",
    { cidr: "10.0.0.0/16", ipipMode: "Always", vxlanMode: "Always" },
    "spec.vxlanMode must be Never where ipipMode is not",
  ],
  [
    "IPPool",
    { cidr: "fd00::/64", ipipMode: "Always" },
    "spec.ipipMode must be Never: IPIP is for IPv4 alone",
  ],
  [
    "IPPool",
    { cidr: "169.254.0.0/24" },
    "spec.cidr must not overlap the link-local range 169.254.0.0/16",
  ],
  [
    "IPPool",
    { cidr: "10.0.0.0/16", ipipMode: "always" },
    'spec.ipipMode must be Never, Always or CrossSubnet, not "always"',
  ],
  [
    "IPPool",
    { cidr: "10.0.0.0/16", allowedUses: ["LoadBalancer", "Tunnel"] },
    "spec.allowedUses cannot have LoadBalancer beside Workload or Tunnel",
  ],
  ...[{}, { allowedUses: [] }, { allowedUses: ["Tunnel"] }].map(
    (uses): [string, object, string] => [
      "IPPool",
      { cidr: "10.0.0.0/16", namespaceSelector: "all()", ...uses },
      "spec.namespaceSelector cannot stand where allowedUses has Tunnel",
    ],
  ),
  [
    "IPPool",
    { cidr: "10.0.0.0/16", nodeSelector: "zone = 'a'" },
    "spec.nodeSelector is no selector: ",
  ],
  ["IPPool", { cidr: "10.0.0.0/16", natOutgoin: true }, "spec.natOutgoin is no field there"],
  [
    "IPAMConfiguration",
    { strictAffinity: false, autoAllocateBlocks: false },
    "spec.autoAllocateBlocks cannot be false unless strictAffinity is true",
  ],
  [
    "IPAMConfiguration",
    { maxBlocksPerHost: 3 },
    "spec.maxBlocksPerHost needs strictAffinity: true",
  ],
  ["IPAMConfiguration", {}, "metadata.name must be default", "other"],
  [
    "IPAMBlock",
    { cidr: "10.0.0.0/30", allocations: [null], unallocated: [], attributes: [] },
    "spec.allocations must have 4 items for 10.0.0.0/30, not 1",
  ],
  [
    "IPAMBlock",
    { cidr: "10.0.0.0/31", allocations: [0, null], unallocated: [1], attributes: [] },
    "spec.allocations[0] is 0, and there are 0 attributes",
  ],
  [
    "IPAMBlock",
    { cidr: "10.0.0.0/31", allocations: [0, null], unallocated: [0], attributes: [{}] },
    "spec.unallocated[0] is 0, which allocations has as taken",
  ],
  ["Tier", { order: "first" }, 'spec.order must be a number, not "first"'],
  ["Tier", {}, "metadata.name must be lower-case letters", "a.b"],
  ["Tier", { order: 5 }, "spec.order must be 1000000 for tier default", "default"],
  ["Tier", { order: 1000 }, "spec.defaultAction must be Pass for tier kube-admin", "kube-admin"],
  [
    "NetworkPolicy",
    { ingress: [{ action: "allow" }] },
    'spec.ingress[0].action must be Allow, Deny, Log or Pass, not "allow"',
  ],
  ["NetworkPolicy", { ingress: [{}] }, "spec.ingress[0].action is required and missing"],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", protocol: "tcp" }] },
    "spec.ingress[0].protocol must be one of TCP, UDP",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", destination: { ports: [80] } }] },
    "spec.ingress[0].destination.ports[0] needs protocol TCP, UDP or SCTP beside it",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", protocol: "ICMP", destination: { ports: ["http"] } }] },
    "spec.ingress[0].destination.ports need protocol TCP, UDP or SCTP, not ICMP",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", protocol: "TCP", destination: { ports: ["90:80"] } }] },
    "spec.ingress[0].destination.ports[0] must be a port from 1 to 65535, a range",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", source: { nets: ["10.0.0.1"] } }] },
    'spec.ingress[0].source.nets[0] must be a range in CIDR notation such as 10.0.0.0/8, not "10.0.0.1"; write 10.0.0.1/32',
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", ipVersion: 6, source: { nets: ["10.0.0.0/8"] } }] },
    "spec.ingress[0].source.nets[0] is IPv4, but the rule is for ipVersion 6",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", icmp: { type: 8 } }] },
    "spec.ingress[0].icmp needs protocol ICMP or ICMPv6 beside it",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", protocol: "ICMP", icmp: { code: 8 } }] },
    "spec.ingress[0].icmp.code needs a type beside it",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", protocol: "ICMP", ipVersion: 6 }] },
    "spec.ingress[0].ipVersion must be 4 beside protocol ICMP, not 6",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", source: { selector: "global()" } }] },
    "spec.ingress[0].source.selector cannot be global()",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", source: { namespaceSelector: "global() || a == 'b'" } }] },
    "spec.ingress[0].source.namespaceSelector global() cannot be combined",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", destination: { services: { name: "a" } } }] },
    "spec.ingress[0].destination.services can only be the source of an ingress rule",
  ],
  [
    "NetworkPolicy",
    { ingress: [{ action: "Allow", source: { services: { name: "a" }, nets: ["10.0.0.0/8"] } }] },
    "spec.ingress[0].source.nets cannot stand beside services",
  ],
  [
    "NetworkPolicy",
    { egress: [{ action: "Allow", http: { methods: ["GET"] } }] },
    "spec.egress[0].http can only be matched by ingress rules",
  ],
  ["NetworkPolicy", { selector: "app == web" }, "spec.selector is no selector: "],
  ["NetworkPolicy", { doNotTrack: true }, "spec.doNotTrack is no field there"],
  ["NetworkPolicy", { types: ["Ingress", "Ingress"] }, 'spec.types[1] is "Ingress" a second time'],
  [
    "NetworkPolicy",
    {},
    "metadata.name must be lower-case letters, digits and hyphens, with at most one dot",
    "a.b.c",
  ],
  [
    "GlobalNetworkPolicy",
    { ingress: [{ action: "Allow", source: { services: { name: "a" } } }] },
    "spec.ingress[0].source.services.namespace is required, as the policy is in no namespace",
  ],
  [
    "GlobalNetworkPolicy",
    { preDNAT: true, doNotTrack: true },
    "spec.doNotTrack cannot be true beside preDNAT",
  ],
  ["GlobalNetworkPolicy", { preDNAT: true }, "spec.applyOnForward must be true where preDNAT is"],
  [
    "GlobalNetworkPolicy",
    { preDNAT: true, applyOnForward: true, types: ["Ingress", "Egress"] },
    "spec.types[1] cannot be Egress in a preDNAT policy",
  ],
  [
    "StagedNetworkPolicy",
    { stagedAction: "Delete", selector: "all()" },
    "spec.selector must be left out where stagedAction is Delete",
  ],
  [
    "StagedNetworkPolicy",
    { stagedAction: "delete" },
    "spec.stagedAction must be Set, Delete, Learn or Ignore",
  ],
  ["HostEndpoint", { interfaceName: "eth0" }, "spec.node is required and missing"],
  ["HostEndpoint", { node: "n" }, "spec.interfaceName is required where there are no expectedIPs"],
  [
    "HostEndpoint",
    { node: "n", interfaceName: "a-name-longer-than-linux-has" },
    "spec.interfaceName must be the name of a device, or * for all",
  ],
  [
    "HostEndpoint",
    { node: "n", interfaceName: "*", ports: [{ name: "a", protocol: "ICMP", port: 1 }] },
    "spec.ports[0].protocol must be TCP, UDP or SCTP, not ICMP",
  ],
  [
    "GlobalNetworkSet",
    { nets: ["10.0.0.0/33"] },
    "spec.nets[0] must be a range such as 10.0.0.0/8 or an address",
  ],
  [
    "GlobalNetworkSet",
    { nets: ["10.0.0.1", "10.0.0.1"] },
    'spec.nets[1] is "10.0.0.1" a second time',
  ],
  ["BGPConfiguration", { asNumber: 4294967296 }, "spec.asNumber must be an AS number"],
  [
    "BGPConfiguration",
    { asNumber: 64512 },
    "spec.asNumber is for the BGPConfiguration default alone, not for node.a",
    "node.a",
  ],
  [
    "BGPConfiguration",
    { communities: [{ name: "a", value: "1:2" }] },
    "spec.communities are named, and no prefixAdvertisements use them",
  ],
  [
    "BGPConfiguration",
    { prefixAdvertisements: [{ cidr: "10.0.0.0/8", communities: ["red"] }] },
    "spec.prefixAdvertisements[0].communities[0] must be a name of communities or a value",
  ],
  [
    "BGPConfiguration",
    { nodeToNodeMeshEnabled: false, nodeMeshMaxRestartTime: "1m" },
    "spec.nodeMeshMaxRestartTime cannot stand where nodeToNodeMeshEnabled is false",
  ],
  ["BGPPeer", { node: "a", nodeSelector: "all()" }, "spec.nodeSelector cannot stand beside node"],
  ["BGPPeer", { peerIP: "10.0.0.1:0" }, "spec.peerIP must be an address such as"],
  [
    "BGPPeer",
    { peerSelector: "all()", asNumber: 1 },
    "spec.asNumber cannot stand beside peerSelector",
  ],
  [
    "BGPPeer",
    { peerIP: "10.0.0.1", reachableBy: "fd00::1" },
    "spec.reachableBy must be of the family of peerIP 10.0.0.1",
  ],
  [
    "BGPFilter",
    { exportV4: [{ action: "Accept", cidr: "10.0.0.0/8" }] },
    "spec.exportV4[0].matchOperator is required beside cidr",
  ],
  [
    "BGPFilter",
    { exportV4: [{ action: "Accept", cidr: "fd00::/8", matchOperator: "In" }] },
    "spec.exportV4[0].cidr must be an IPv4 range, not fd00::/8",
  ],
  [
    "BGPFilter",
    { importV6: [{ action: "Reject", operations: [{ setPriority: { value: 1 } }] }] },
    "spec.importV6[0].operations are for action Accept alone",
  ],
  [
    "BGPFilter",
    { importV6: [{ action: "Accept", operations: [{}] }] },
    "spec.importV6[0].operations[0] must have exactly one of addCommunity, prependASPath, setPriority",
  ],
  [
    "FelixConfiguration",
    { chainInsertMode: "Prepend" },
    'spec.chainInsertMode must be Insert or Append, not "Prepend"',
  ],
  [
    "FelixConfiguration",
    { reportingInterval: 30 },
    'spec.reportingInterval must be text, not 30; write "30"',
  ],
  [
    "FelixConfiguration",
    { reportingInterval: "30" },
    "spec.reportingInterval must be a duration such as 90s",
  ],
  [
    "FelixConfiguration",
    { nodeSelector: "all()" },
    "spec.nodeSelector cannot stand in default, which is for all nodes",
  ],
  [
    "FelixConfiguration",
    { failsafeInboundHostPorts: [{ port: 70000 }] },
    "spec.failsafeInboundHostPorts[0].port must be a whole number between 1 and 65535, not 70000",
  ],
  [
    "FelixConfiguration",
    { vxlanport: 4789 },
    "spec.vxlanport is no field there; perhaps vxlanPort",
  ],
  [
    "KubeControllersConfiguration",
    { controllers: { node: { hostEndpoint: { templates: [{ generateName: "a" }] } } } },
    "spec.controllers.node.hostEndpoint.templates[0].interfacePattern is required where there are no interfaceCIDRs",
  ],
])("a %s with %j is refused", (kind, spec, message, name) => {
  expect(problem(kind, spec, name)).toContain(message);
});

test.each<[kind: string, spec: object, stored: object]>([
  [
    "IPPool",
    { cidr: "10.0.0.0/16" },
    {
      cidr: "10.0.0.0/16",
      blockSize: 26,
      ipipMode: "Never",
      vxlanMode: "Never",
      nodeSelector: "all()",
      allowedUses: ["Workload", "Tunnel"],
      assignmentMode: "Automatic",
    },
  ],
  [
    "IPPool",
    { cidr: "FD00:0::/64", blockSize: 0, ipipMode: "", allowedUses: [] },
    {
      cidr: "fd00::/64",
      blockSize: 122,
      ipipMode: "Never",
      vxlanMode: "Never",
      nodeSelector: "all()",
      allowedUses: ["Workload", "Tunnel"],
      assignmentMode: "Automatic",
    },
  ],
  ["Tier", {}, { order: 1_000_000, defaultAction: "Deny" }],
  ["Tier", { order: 0, defaultAction: "Pass" }, { order: 0, defaultAction: "Pass" }],
  ["NetworkPolicy", {}, { tier: "default", types: ["Ingress"] }],
  [
    "NetworkPolicy",
    { egress: [{ action: "Allow" }] },
    { tier: "default", types: ["Egress"], egress: [{ action: "Allow" }] },
  ],
  [
    "NetworkPolicy",
    { tier: "a", ingress: [{ action: "Deny" }], egress: [{ action: "Allow" }] },
    {
      tier: "a",
      types: ["Ingress", "Egress"],
      ingress: [{ action: "Deny" }],
      egress: [{ action: "Allow" }],
    },
  ],
  [
    "GlobalNetworkPolicy",
    { ingress: [], egress: [] },
    { ingress: [], egress: [], tier: "default", types: ["Ingress"] },
  ],
  ["StagedNetworkPolicy", {}, { tier: "default", types: ["Ingress"], stagedAction: "Set" }],
  [
    "IPAMConfiguration",
    {},
    { strictAffinity: false, autoAllocateBlocks: true, maxBlocksPerHost: 0 },
  ],
  ["FelixConfiguration", {}, { nftablesMode: "Auto", nftablesFlowTableOffload: "Disabled" }],
])("a %s with %j is stored whole", (kind, spec, stored) => {
  expect(defaulted(kind, spec).spec).toEqual(stored);
});

test("policies are labelled with their tier", () => {
  expect(defaulted("GlobalNetworkPolicy", { tier: "a" }).metadata.labels).toEqual({
    "projectcalico.org/tier": "a",
  });
});

describe("as crd.projectcalico.org/v1 has it", () => {
  const convert = (kind: string, given: object) =>
    resourceOf(kind).servedVersions?.[0]?.convert?.({
      apiVersion: "crd.projectcalico.org/v1",
      kind,
      ...given,
    } as KubeObject);

  test.each<[kind: string, given: object, converted: object]>([
    [
      "GlobalNetworkPolicy",
      { metadata: { name: "default.a" }, spec: {} },
      { metadata: { name: "a" } },
    ],
    [
      "GlobalNetworkPolicy",
      { metadata: { name: "default.a" }, spec: { tier: "b" } },
      { metadata: { name: "default.a" } },
    ],
    ["IPPool", { metadata: { name: "default.a" }, spec: {} }, { metadata: { name: "default.a" } }],
    [
      "NetworkPolicy",
      {
        metadata: {
          name: "default.a",
          namespace: "n",
          annotations: {
            x: "y",
            "projectcalico.org/metadata":
              '{"name":"other","labels":{"k":"v"},"annotations":{"z":"0"},"creationTimestamp":null}',
          },
        },
        spec: {},
      },
      {
        metadata: {
          name: "other",
          namespace: "n",
          labels: { k: "v" },
          annotations: { x: "y", z: "0" },
        },
      },
    ],
    [
      "BlockAffinity",
      { metadata: { name: "a" }, spec: { deleted: "false", node: "n" } },
      { spec: { deleted: false, node: "n" } },
    ],
    [
      "BlockAffinity",
      { metadata: { name: "a" }, spec: { deleted: "", node: "n" } },
      { spec: { node: "n" } },
    ],
  ])("%s %j", (kind, given, converted) => {
    expect(convert(kind, given)).toMatchObject(converted);
  });

  test("whatever it is given, it is nobody's exception", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...CALICO_RESOURCES.map((r) => r.kind)),
        fc.record({ metadata: fc.anything(), spec: fc.anything() }),
        (kind, given) => {
          convert(kind, given);
        },
      ),
    );
  });
});

test.each<[kind: string, old: object, now: object, message: string | undefined]>([
  [
    "IPPool",
    { cidr: "10.0.0.0/16" },
    { cidr: "10.1.0.0/16" },
    "spec.cidr cannot be changed from 10.0.0.0/16",
  ],
  [
    "IPPool",
    { cidr: "10.0.0.0/16" },
    { cidr: "10.0.0.0/16", blockSize: 24 },
    "spec.blockSize cannot be changed from 26",
  ],
  ["IPPool", { cidr: "10.0.0.0/16" }, { cidr: "10.0.0.0/16", disabled: true }, undefined],
  [
    "IPPool",
    { cidr: "10.0.0.0/16", allowedUses: ["LoadBalancer"] },
    { cidr: "10.0.0.0/16" },
    "spec.allowedUses cannot be changed from LoadBalancer",
  ],
])("a %s with %j made %j", (kind, old, now, message) => {
  const update = () => resourceOf(kind).checkUpdate?.(defaulted(kind, now), defaulted(kind, old));
  if (message === undefined) expect(update).not.toThrow();
  else expect(update).toThrow(message);
});

test.each<[kind: string, spec: object, others: readonly KubeObject[], message: string | undefined]>(
  [
    [
      "IPPool",
      { cidr: "10.0.0.0/16" },
      [objectOf("IPPool", { cidr: "10.0.1.0/24" }, "b")],
      "spec.cidr 10.0.0.0/16 overlaps 10.0.1.0/24 of IPPool b",
    ],
    [
      "IPPool",
      { cidr: "10.0.0.0/16" },
      [
        objectOf("IPPool", { cidr: "10.0.0.0/16" }),
        objectOf("IPPool", { cidr: "10.1.0.0/16" }, "b"),
      ],
      undefined,
    ],
    ["GlobalNetworkPolicy", { tier: "kube-admin" }, [], undefined],
    [
      "GlobalNetworkPolicy",
      { tier: "security" },
      [],
      "spec.tier is security, and there is no such Tier",
    ],
    ["StagedNetworkPolicy", { tier: "security" }, [objectOf("Tier", {}, "security")], undefined],
  ],
)("a %s with %j among %j", (kind, spec, others, message) => {
  const all = {
    list: () => others,
    get: (_: string, key: string) => others.find((each) => each.metadata.name === key),
  } as unknown as StoredObjects;
  const among = () => resourceOf(kind).checkAmong?.(defaulted(kind, spec), all);
  if (message === undefined) expect(among).not.toThrow();
  else expect(among).toThrow(message);
});

const vectors = new URL("../../../../../shared/vectors/calico/", import.meta.url);

test.skipIf(!existsSync(vectors)).each(["felix-scenarios", "policy-flows"])(
  "objects of the golden %s (../shared) are understood, and have their defaults already",
  (name) => {
    const objects = readFileSync(new URL(`${name}.ndjson`, vectors), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .flatMap((line) => JSON.parse(line).resources as WithSpec[])
      .filter((object) => object.apiVersion === "projectcalico.org/v3");
    expect(objects.length).toBeGreaterThan(50);
    for (const { kind, spec, metadata } of objects) {
      expect(problem(kind, spec, metadata.name)).toBeUndefined();
    }
  },
);

/** Junk of every type, among it what other fields take. */
const junk = fc.oneof(
  fc.constantFrom<unknown>(
    ...[
      "",
      "all()",
      "global()",
      "10.0.0.0/8",
      "fd00::/8",
      "10.0.0.1",
      "TCP",
      "ICMPv6",
      "Allow",
      "80",
      "80:90",
      "1s",
      "-1",
    ],
    ...[0, 1, 4, 6, 255, 65_536, -1, 1.5, 2 ** 40, true, false, null],
    ...[[], {}, [null], [[]], { name: "a" }, [{ action: "Allow" }]],
  ),
  fc.jsonValue(),
);

/** Places in a value, from the outside in. */
function pathsOf(
  value: unknown,
  path: readonly (string | number)[] = [],
): (readonly (string | number)[])[] {
  if (value === null || typeof value !== "object") return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([key, each]) =>
      pathsOf(each, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function replaced(
  value: unknown,
  [step, ...rest]: readonly (string | number)[],
  by: unknown,
): unknown {
  if (step === undefined) return by;
  const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<
    string | number,
    unknown
  >;
  copy[step] = replaced(copy[step], rest, by);
  return copy;
}

test.each(Object.keys(VALID_SPECS))(
  "a %s with anything in place of anything is refused with the field, or understood",
  (kind) => {
    const spec = VALID_SPECS[kind] as object;
    const change = fc.tuple(fc.constantFrom(...pathsOf(spec)), junk);
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let given: unknown = spec;
        for (const [path, by] of changes) {
          try {
            given = replaced(given, path, by);
          } catch {
            return; // a former change has taken the place away
          }
        }
        const wrong = problem(kind, given);
        if (wrong !== undefined) {
          expect(wrong).toMatch(/^(spec|metadata)\b/);
          return;
        }
        const stored = defaulted(kind, given);
        expect(problem(kind, stored.spec)).toBeUndefined();
        expect(resourceOf(kind).default?.(stored) ?? stored).toBe(stored);
        for (const column of resourceOf(kind).columns ?? []) column.value(stored);
      }),
      { numRuns: 300 },
    );
  },
);
