import {
  type Check,
  fail,
  integer,
  list,
  map,
  object,
  oneOf,
  strictObject,
  string,
  unread,
} from "@cnilab/core/validation";
import { tryParsePrefix } from "@cnilab/net";
import { cidr } from "./field-checks.ts";
import { ruleSchema } from "./rule-checks.ts";
import type { PoolFamily } from "./v2/pod-ip-pool.ts";

// Objects of cilium.io but for their metadata (pkg/k8s/apis/cilium.io/client/crds).

const anyText = () => undefined;
const addresses = strictObject({ ipv4: string, ipv6: string });

/** `spec`, `specs` or both; an agent refuses what has neither (ErrEmptyCNP). */
export const networkPolicy: Check = (value, path) => {
  object({ spec: ruleSchema, specs: list(ruleSchema), status: unread })(value, path);
  const { spec, specs } = value as { readonly spec?: unknown; readonly specs?: unknown };
  if (spec === undefined && specs === undefined) {
    fail([...path, "spec"], "is required and missing");
  }
};

export const cidrGroup: Check = object(
  { spec: strictObject({ externalCIDRs: list(cidr) }, ["externalCIDRs"]) },
  ["spec"],
);

export const identity: Check = object({ "security-labels": map(anyText, string) }, [
  "security-labels",
]);

const policyDirection = strictObject(
  {
    enforcing: (value, path) => {
      if (typeof value !== "boolean") fail(path, "must be true or false");
    },
    state: oneOf("enforcing", "non-enforcing", "disabled"),
    allowed: list(unread),
    denied: list(unread),
    removing: list(unread),
    adding: list(unread),
  },
  ["enforcing"],
);

export const endpoint: Check = object({
  status: strictObject({
    id: integer(0),
    controllers: list(unread),
    "external-identifiers": object({}),
    health: object({}),
    identity: strictObject({ id: integer(0), labels: list(string) }),
    log: list(unread),
    networking: strictObject({ addressing: list(addresses), node: string }, ["addressing"]),
    encryption: strictObject({ key: integer(0) }),
    policy: strictObject({ ingress: policyDirection, egress: policyDirection }),
    state: oneOf(
      "creating",
      "waiting-for-identity",
      "not-ready",
      "waiting-to-regenerate",
      "regenerating",
      "restoring",
      "ready",
      "disconnecting",
      "disconnected",
      "invalid",
    ),
    "named-ports": list(strictObject({ name: string, port: integer(0, 65_535), protocol: string })),
  }),
});

const owners = map(anyText, strictObject({ owner: string, resource: string }));
const poolName: Check = (value, path) => {
  string(value, path);
  if (value === "") fail(path, "must not be empty");
};

export const node: Check = object(
  {
    spec: strictObject({
      "instance-id": string,
      bootid: string,
      addresses: list(strictObject({ type: string, ip: string })),
      health: addresses,
      ingress: addresses,
      encryption: strictObject({ key: integer(0) }),
      eni: unread,
      azure: unread,
      "alibaba-cloud": unread,
      ipam: strictObject({
        podCIDRs: list(string),
        pool: owners,
        "ipv6-pool": owners,
        pools: strictObject({
          requested: list(
            strictObject(
              {
                pool: poolName,
                needed: strictObject({
                  "ipv4-addrs": integer(0),
                  "ipv6-addrs": integer(0),
                }),
              },
              ["pool"],
            ),
          ),
          allocated: list(strictObject({ pool: poolName, cidrs: list(cidr) }, ["pool"])),
        }),
        "min-allocate": integer(0),
        "max-allocate": integer(0),
        "pre-allocate": integer(0),
        "max-above-watermark": integer(0),
        "static-ip-tags": map(anyText, string),
      }),
      nodeidentity: integer(0),
    }),
    status: unread,
  },
  ["spec"],
);

/** Beyond the schema: the operator cannot cut a part longer than the range itself (operator/pkg/ipam/allocator/multipool). */
function poolFamily(bits: 32 | 128): Check {
  const fields = strictObject({ cidrs: list(cidr, 1), maskSize: integer(1, bits) }, [
    "cidrs",
    "maskSize",
  ]);
  return (value, path) => {
    fields(value, path);
    const { cidrs, maskSize } = value as PoolFamily;
    cidrs.forEach((text, i) => {
      const range = tryParsePrefix(text);
      if (range === undefined) return;
      if (range.family !== (bits === 32 ? 4 : 6)) {
        fail([...path, "cidrs", i], `must be IPv${bits === 32 ? 4 : 6}, not ${text}`);
      }
      if (range.length > maskSize) {
        fail([...path, "maskSize"], `must be at least the length of ${text}, not ${maskSize}`);
      }
    });
  };
}

export const podIpPool: Check = object(
  { spec: strictObject({ ipv4: poolFamily(32), ipv6: poolFamily(128) }) },
  ["spec"],
);
