import type { CustomResource, KubeObject } from "@cnilab/core";
import { FieldError, formatPath } from "@cnilab/core/validation";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CILIUM_RESOURCES } from "../../src/api/resources.ts";
import { NAMES, VALID_OBJECTS } from "./valid-objects.ts";

function resourceOf(kind: string): CustomResource {
  return CILIUM_RESOURCES.find((each) => each.kind === kind) as CustomResource;
}

function objectOf(kind: string, fields: unknown): KubeObject {
  const { group, version } = resourceOf(kind);
  const name = NAMES[kind] ?? "a";
  return {
    ...(structuredClone(fields) as object),
    apiVersion: `${group}/${version}`,
    kind,
    metadata: { name },
  };
}

/** What is wrong with it, or nothing. */
function problem(kind: string, fields: unknown): string | undefined {
  const object = objectOf(kind, fields);
  const { check, name } = resourceOf(kind);
  try {
    name?.(object.metadata.name, ["metadata", "name"]);
    check(object, []);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    expect(error.message.startsWith(formatPath(error.path))).toBe(true);
    return error.message;
  }
  return undefined;
}

test("there is a valid object of every kind", () => {
  expect(Object.keys(VALID_OBJECTS).sort()).toEqual(CILIUM_RESOURCES.map((r) => r.kind).sort());
});

test.each(Object.entries(VALID_OBJECTS))("a %s is understood", (kind, fields) => {
  expect(problem(kind, fields)).toBeUndefined();
});

const policy = (rule: object) => ({ spec: { endpointSelector: {}, ...rule } });
const CNP = "CiliumNetworkPolicy";

test.each<[kind: string, fields: object, message: string]>([
  [CNP, {}, "spec is required and missing"],
  [CNP, policy({}), "spec must have one of ingress, ingressDeny, egress, egressDeny"],
  [
    CNP,
    policy({ nodeSelector: {}, ingress: [] }),
    "spec must have exactly one of endpointSelector, nodeSelector",
  ],
  [
    CNP,
    policy({ ingress: [{ toPorts: [{ ports: [{ port: 80 }] }] }] }),
    'spec.ingress[0].toPorts[0].ports[0].port must be text, not 80; write "80"',
  ],
  [
    CNP,
    policy({ ingress: [{ fromEntities: ["everyone"] }] }),
    "spec.ingress[0].fromEntities[0] must be all, world,",
  ],
  [
    CNP,
    policy({ ingress: [{ toEndpoints: [{}] }] }),
    "spec.ingress[0].toEndpoints is no field there",
  ],
  [
    CNP,
    policy({ egress: [{ toCIDR: ["10.0.0.1"] }] }),
    'spec.egress[0].toCIDR[0] must be a range in CIDR notation such as 10.0.0.0/8, not "10.0.0.1"; write 10.0.0.1/32',
  ],
  [
    CNP,
    policy({ egress: [{ toCIDRSet: [{ except: ["10.0.0.0/8"] }] }] }),
    "spec.egress[0].toCIDRSet[0] must have exactly one of cidr, cidrGroupRef, cidrGroupSelector",
  ],
  [
    CNP,
    policy({ egress: [{ toFQDNs: [{ matchName: "a..b" }] }] }),
    "spec.egress[0].toFQDNs[0].matchName must be a name of DNS",
  ],
  [
    CNP,
    policy({ egress: [{ icmps: [{ fields: [{ type: "Ping" }] }] }] }),
    "spec.egress[0].icmps[0].fields[0].type must be a number from 0 to 255",
  ],
  [
    CNP,
    { specs: [{ endpointSelector: {}, ingress: [{}] }, { endpointSelector: {} }] },
    "specs[1] must have one of",
  ],
  [
    "CiliumPodIPPool",
    { spec: { ipv4: { cidrs: ["10.0.0.0/25"], maskSize: 24 } } },
    "spec.ipv4.maskSize must be at least the length of 10.0.0.0/25, not 24",
  ],
  ["CiliumIdentity", {}, "security-labels is required and missing"],
])("a %s %j is refused", (kind, fields, message) => {
  expect(problem(kind, fields)).toContain(message);
});

test("the length of a pool's parts stays", () => {
  const pool = (maskSize: number) =>
    objectOf("CiliumPodIPPool", { spec: { ipv4: { cidrs: ["10.0.0.0/16"], maskSize } } });
  const { checkUpdate } = resourceOf("CiliumPodIPPool");
  expect(() => checkUpdate?.(pool(25), pool(24))).toThrow(
    "spec.ipv4.maskSize cannot be changed from 24; make another pool",
  );
  expect(() => checkUpdate?.(pool(24), pool(24))).not.toThrow();
});

/** Junk of every type, among it what other fields take. */
const junk = fc.oneof(
  fc.constantFrom<unknown>(
    ...["", "*", "10.0.0.0/8", "::/0", "10.0.0.1", "TCP", "80", "http", "k8s:app", "In", "-"],
    ...[0, 1, 8, 255, 65_536, -1, 1.5, 2 ** 40, true, false, null],
    ...[[], {}, [null], [[]], { port: "80" }, [{ matchLabels: {} }]],
  ),
  fc.jsonValue(),
);

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

test.each(Object.keys(VALID_OBJECTS))(
  "a %s with anything in place of anything is refused with the field, or understood",
  (kind) => {
    const fields = VALID_OBJECTS[kind] as object;
    const places = pathsOf(fields).filter((path) => path.length > 0);
    const change = fc.tuple(fc.constantFrom(...places), junk);
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        let given: unknown = fields;
        for (const [path, by] of changes) given = replaced(given, path, by);
        if (problem(kind, given) !== undefined) return;
        for (const column of resourceOf(kind).columns ?? []) column.value(objectOf(kind, given));
      }),
      { numRuns: 300 },
    );
  },
);
