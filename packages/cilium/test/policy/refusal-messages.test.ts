import { expect, test } from "vitest";
import type { Rule } from "../../src/api/v2/rule.ts";
import { refusalOf } from "../../src/operator/policy-validator.ts";
import { DEFAULT_POLICY_SETTINGS } from "../../src/policy/policy-settings.ts";

const pods = { endpointSelector: {} };
const http = { http: [{ path: "/" }] };
const dns = { dns: [{ matchPattern: "*" }] };
const ingress = (...rules: object[]) => ({ ...pods, ingress: rules });
const egress = (...rules: object[]) => ({ ...pods, egress: rules });
const ports = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ port: String(i + 1), protocol: "TCP" }));

// pkg/policy/api/rule_validation.go of v1.18.8; those of the vectors first.
test.each<[rule: object, message: string | undefined]>([
  [ingress({ fromEndpoints: [{}] }), undefined],
  [pods, "rule must have at least one of Ingress, IngressDeny, Egress, EgressDeny"],
  [
    ingress({ fromEndpoints: [{}], fromCIDR: ["10.0.0.0/8"] }),
    "combining FromCIDR and FromEndpoints is not supported yet",
  ],
  [
    ingress({ fromEntities: ["world"], fromEndpoints: [{}] }),
    "combining FromEndpoints and FromEntities is not supported yet",
  ],
  [
    ingress({ toPorts: [{ ports: ports(1), rules: { ...http, kafka: [] } }] }),
    "multiple L7 protocol rule types specified in single rule",
  ],
  [ingress({ toPorts: [{ ports: ports(41) }] }), "too many ports, the max is 40"],
  [
    ingress({ fromCIDR: ["10.0.0.0/99"] }),
    'unable to parse CIDR: ParseAddr("10.0.0.0/99"): unexpected character (at "/99")',
  ],
  [{ ingress: [{}] }, "rule must have one of EndpointSelector or NodeSelector"],
  [{ ...ingress({}), nodeSelector: {} }, "rule cannot have both EndpointSelector and NodeSelector"],
  [
    egress({ toNodes: [{}] }),
    'FromNodes/ToNodes rules can only be applied when the "enable-node-selector-labels" flag is set',
  ],
  [egress({ toEntities: ["moon"] }), "unsupported entity: moon"],
  [
    ingress({ icmps: [{}], toPorts: [{}] }),
    "the ICMPs block may only be present without ToPorts. Define a separate rule to use ToPorts",
  ],
  [
    { nodeSelector: {}, ingress: [{ toPorts: [{ ports: ports(1), rules: http }] }] },
    "L7 policy is not supported on host ingress yet",
  ],
  [
    { nodeSelector: {}, egress: [{ toPorts: [{ ports: ports(1), rules: http }] }] },
    "L7 protocol HTTP is not supported on host egress yet",
  ],
  [
    ingress({ toPorts: [{ ports: ports(1), rules: dns }] }),
    "L7 protocol DNS is not supported on ingress yet",
  ],
  [
    egress({ toCIDRSet: [{ cidr: "10.0.0.0/8", except: ["11.0.0.0/8"] }] }),
    "allow CIDR prefix 10.0.0.0/8 does not contain exclude CIDR prefix 11.0.0.0/8",
  ],
  [
    egress({ toCIDRSet: [{ cidr: "10.0.0.0" }] }),
    `unable to parse CIDRRule "10.0.0.0": netip.ParsePrefix("10.0.0.0"): no '/'`,
  ],
  [
    egress({ toCIDRSet: [{ except: [] }] }),
    "one of cidr, cidrGroupRef, or cidrGroupSelector is required",
  ],
  [
    egress({ toPorts: [{ ports: [{ port: "53", protocol: "UDP" }], rules: http }] }),
    "L7 rules can only apply to TCP (not UDP) except for DNS rules",
  ],
  [
    egress({ toPorts: [{ ports: [{ port: "0", protocol: "TCP" }], rules: http }] }),
    "L7 rules can not be used when a port is 0",
  ],
  [egress({ toPorts: [{ rules: dns }] }), "port 53 must be specified for DNS rules"],
  [
    egress({ toPorts: [{ ports: [{ port: "70000" }] }] }),
    'unable to parse port: strconv.ParseUint: parsing "70000": value out of range',
  ],
  [
    egress({ toFQDNs: [{ matchName: "a.b", matchPattern: "*" }] }),
    "only one of MatchName or MatchPattern is allowed in an FQDNSelector",
  ],
  [
    egress({ toFQDNs: [{ matchName: "a b" }] }),
    'Invalid characters in MatchName: "a b". Only 0-9, a-z, A-Z and . and - characters are allowed',
  ],
])("%j: %s", (rule, message) => {
  const metadata = { name: "p", namespace: "default" };
  const policy = {
    apiVersion: "cilium.io/v2",
    kind: "CiliumNetworkPolicy",
    metadata,
    spec: rule as Rule,
  } as const;
  expect(refusalOf(policy, DEFAULT_POLICY_SETTINGS)).toBe(message);
});
