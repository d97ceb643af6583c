import type { NetworkPolicy } from "@cnilab/core";
import { FieldError } from "@cnilab/core/validation";
import type {
  CiliumClusterwideNetworkPolicy,
  CiliumNetworkPolicy,
} from "../../src/api/v2/network-policy.ts";
import type { LabelSet } from "../../src/labels/label-set.ts";
import { parseLabels } from "../../src/labels/label-set.ts";
import { ciliumPolicyRules } from "../../src/policy/cilium-policy.ts";
import { EndpointPolicy, type PolicyOwner, redirectsOf } from "../../src/policy/endpoint-policy.ts";
import { kubernetesPolicyRule } from "../../src/policy/kubernetes-policy.ts";
import { AUTH_TYPE, type PolicyMapEntry } from "../../src/policy/policy-map-entry.ts";
import { lastPort, protocolNumber } from "../../src/policy/policy-map-key.ts";
import { PolicyRepository, type ResolvedPolicy } from "../../src/policy/policy-repository.ts";
import { formatRule, type PolicyRule } from "../../src/policy/policy-rule.ts";
import { DEFAULT_POLICY_SETTINGS, type PolicySettings } from "../../src/policy/policy-settings.ts";
import { SelectorCache } from "../../src/policy/selector-cache.ts";
import { PolicyConflictError } from "../../src/policy/selector-policy.ts";
import { difference } from "./compare.ts";
import type { GoldenRun } from "./golden-run.ts";

interface GivenIdentity {
  readonly id: number;
  readonly labels: readonly string[];
}

interface PolicyCommon {
  readonly clusterName: string;
  readonly endpointID: number;
  readonly namedPorts: Readonly<Record<string, number>>;
  readonly podIdentities: readonly GivenIdentity[];
  readonly reservedIdentities: readonly GivenIdentity[];
}

type Document = NetworkPolicy | CiliumNetworkPolicy | CiliumClusterwideNetworkPolicy;
type Lookup = readonly [
  direction: "ingress" | "egress",
  peer: number,
  protocol: "TCP" | "UDP" | "SCTP" | "ICMP" | "ICMPv6",
  port: number,
  verdict: string,
];

interface PolicyCase {
  readonly policies: readonly Document[];
  readonly subject: number;
  readonly enforcement: PolicySettings["enforcement"];
  readonly allowLocalhost: PolicySettings["allowLocalhost"];
  readonly dualStack: boolean;
  readonly localClusterDefault: boolean;
  readonly identities?: readonly GivenIdentity[];
  readonly cidrIdentities: readonly GivenIdentity[] | null;
  readonly parsedRules: readonly object[] | null;
  readonly entries: readonly object[] | null;
  readonly redirects: readonly object[] | null;
  readonly lookups: readonly Lookup[] | null;
  readonly rejected?: string;
  readonly resolveError?: string;
}

export const policy: GoldenRun<PolicyCommon, PolicyCase> = ({ common, case: given }) => {
  const settings: PolicySettings = {
    ...DEFAULT_POLICY_SETTINGS,
    clusterName: common.clusterName,
    defaultLocalCluster: given.localClusterDefault,
    dualStack: given.dualStack,
    enforcement: given.enforcement,
    allowLocalhost: given.allowLocalhost,
    hostFirewall: true,
  };
  let rules: readonly (readonly PolicyRule[])[];
  try {
    rules = given.policies.map((document) => rulesOf(document, settings));
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    return given.rejected === undefined ? `refused: ${error.message}` : undefined;
  }
  if (given.rejected !== undefined) return `want refused: ${given.rejected}`;
  const repository = new PolicyRepository(settings);
  rules.forEach((each, i) => {
    repository.replace(String(i), each);
  });
  const identities = new Map<number, LabelSet>(
    [
      ...common.reservedIdentities,
      ...common.podIdentities,
      ...(given.identities ?? []),
      ...(given.cidrIdentities ?? []),
    ].map(({ id, labels }) => [id, parseLabels(labels)]),
  );
  const labels = identities.get(given.subject) as LabelSet;
  let resolved: ResolvedPolicy;
  try {
    resolved = repository.resolve({ identity: given.subject, labels });
  } catch (error) {
    if (!(error instanceof PolicyConflictError)) throw error;
    return error.message === given.resolveError
      ? undefined
      : `want ${given.resolveError}\n  got ${error.message}`;
  }
  if (given.resolveError !== undefined) return `want ${given.resolveError}`;
  const ports = new Map<string, number>();
  const owner: PolicyOwner = {
    endpointId: common.endpointID,
    isHost: given.subject === 1,
    namedPort: (_direction, name) => common.namedPorts[name] ?? 0,
    proxyPort: (proxyId) => ports.get(proxyId) ?? 0,
  };
  const redirects = [...redirectsOf(resolved, owner)]
    .sort((x, y) => (x.proxyId < y.proxyId ? -1 : 1))
    .map(({ proxyId, parser }, i) => {
      ports.set(proxyId, 15001 + i);
      return { proxyID: proxyId, parser, proxyPort: 15001 + i };
    });
  const cache = new SelectorCache();
  cache.updateIdentities(identities, []);
  const allowLocalhost = given.allowLocalhost !== "policy";
  const endpoint = new EndpointPolicy(resolved, owner, cache, { allowLocalhost });
  const late = lateIdentities(resolved, owner, identities, allowLocalhost);
  return difference(
    {
      parsedRules: given.parsedRules ?? [],
      entries: sorted(given.entries ?? []),
      entriesAsIdentitiesCome: sorted(given.entries ?? []),
      redirects: given.redirects ?? [],
      lookups: given.lookups ?? [],
    },
    {
      parsedRules: rules.flat().map((rule) => JSON.parse(JSON.stringify(formatRule(rule)))),
      entries: entriesOf(endpoint),
      entriesAsIdentitiesCome: entriesOf(late),
      redirects,
      lookups: (given.lookups ?? []).map(([direction, identity, name, port]) => {
        const protocol = protocolNumber(name);
        const key = { direction, identity, protocol, port, portPrefixLength: 16 };
        return [direction, identity, name, port, verdictOf(endpoint.mapState.lookup(key))];
      }),
    },
  );
};

/** The same policy, whose identities become known after it. */
function lateIdentities(
  resolved: ResolvedPolicy,
  owner: PolicyOwner,
  identities: ReadonlyMap<number, LabelSet>,
  allowLocalhost: boolean,
): EndpointPolicy {
  const cache = new SelectorCache();
  const endpoint = new EndpointPolicy(resolved, owner, cache, { allowLocalhost });
  for (const [identity, labels] of identities) {
    cache.updateIdentities(new Map([[identity, labels]]), []);
  }
  return endpoint;
}

function rulesOf(document: Document, settings: PolicySettings): readonly PolicyRule[] {
  return document.kind === "NetworkPolicy"
    ? [kubernetesPolicyRule(document, settings)]
    : ciliumPolicyRules(document, settings);
}

function entriesOf({ mapState }: EndpointPolicy): readonly object[] {
  return sorted(
    [...mapState.entries()].map(([key, entry]) => ({
      dir: key.direction,
      identity: key.identity,
      proto: key.protocol,
      port: key.port,
      portPrefixLen: key.portPrefixLength,
      endPort: lastPort(key),
      deny: entry.deny,
      proxyPort: entry.proxyPort,
      proxyPortPriority: entry.proxyPortPriority,
      auth: authName(entry),
      authExplicit: entry.authExplicit,
    })),
  );
}

function authName({ authType }: PolicyMapEntry): string {
  return Object.entries(AUTH_TYPE).find(([, type]) => type === authType)?.[0] as string;
}

function sorted(entries: readonly object[]): readonly object[] {
  const text = (entry: object) => JSON.stringify(Object.entries(entry).sort());
  return [...entries].sort((x, y) => (text(x) < text(y) ? -1 : 1));
}

function verdictOf(entry: PolicyMapEntry | undefined): string {
  if (entry === undefined) return "default-deny";
  if (entry.deny) return "deny";
  const verdict = entry.proxyPort === 0 ? "allow" : `redirect:${entry.proxyPort}`;
  return entry.authType === AUTH_TYPE.disabled ? verdict : `${verdict}+auth:${authName(entry)}`;
}
