import type { HttpRequest } from "@cnilab/linux";
import type { HeaderMatch } from "../../api/v2/rule.ts";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import type { LabelSet } from "../../labels/label-set.ts";
import type { PolicyOwner } from "../../policy/endpoint-policy.ts";
import type { L4Filter } from "../../policy/l4-filter.ts";
import type { TrafficDirection } from "../../policy/policy-map-key.ts";
import type { ResolvedPolicy } from "../../policy/policy-repository.ts";
import type { SelectorPolicy } from "../../policy/selector-policy.ts";
import { HttpRule, type MatchedRequest } from "./http-rule.ts";

/** Labels of an identity that the node knows. */
export type IdentityLabels = (identity: NumericIdentity) => LabelSet | undefined;

/** What a Secret says that a header is compared with. */
export type SecretReader = (match: HeaderMatch) => string | undefined;

/** Who talks where, as a listener sees it. */
export interface ProxiedConnection {
  readonly direction: TrafficDirection;
  /** Port that was asked for. */
  readonly port: number;
  /** Of the other end: who asks on the way in, who is asked on the way out. */
  readonly remote: NumericIdentity;
  /** SNI of a TLS handshake; `undefined` where there is none. */
  readonly serverName: string | undefined;
}

interface PeerRules {
  readonly policy: SelectorPolicy;
  /** `undefined` where whatever is asked is allowed. */
  readonly http: readonly HttpRule[] | undefined;
}

/**
 * What a proxy knows of one endpoint's policy: cilium.NetworkPolicy, which the agent sends to Envoy (pkg/envoy/xds_server.go
 * getNetworkPolicy), and how Envoy reads it (cilium/network_policy.cc of cilium/proxy).
 */
export class ProxyNetworkPolicy {
  readonly #resolved: ResolvedPolicy;
  readonly #owner: Pick<PolicyOwner, "namedPort">;
  readonly #labelsOf: IdentityLabels;
  readonly #secretOf: SecretReader;
  readonly #compiled = new Map<SelectorPolicy, PeerRules>();

  constructor(
    resolved: ResolvedPolicy,
    owner: Pick<PolicyOwner, "namedPort">,
    labelsOf: IdentityLabels,
    secretOf: SecretReader,
  ) {
    this.#resolved = resolved;
    this.#owner = owner;
    this.#labelsOf = labelsOf;
    this.#secretOf = secretOf;
  }

  /** Whether somebody may connect at all, asking for that server name. */
  allowsConnection(connection: ProxiedConnection): boolean {
    return this.#rulesFor(connection) !== undefined;
  }

  /** A request as the rules leave it; `undefined` where none lets it pass. */
  matchRequest(connection: ProxiedConnection, request: HttpRequest): MatchedRequest | undefined {
    let matched: MatchedRequest | undefined;
    for (const { http } of this.#rulesFor(connection) ?? []) {
      if (http === undefined) {
        matched ??= unchanged(request);
        continue;
      }
      for (const rule of http) {
        if (!rule.matches(request)) continue;
        matched = rule.change(matched ?? unchanged(request));
      }
    }
    return matched;
  }

  /** Rules of those who are meant; `undefined` where nobody is, or one of them is denied. */
  #rulesFor(connection: ProxiedConnection): readonly PeerRules[] | undefined {
    const { direction, port, remote, serverName } = connection;
    const own = this.#resolved[direction];
    if (own === undefined) return [{ policy: ANYTHING, http: undefined }];
    const labels = this.#labelsOf(remote);
    const found: PeerRules[] = [];
    for (const filter of own.filters) {
      if (!this.#isAt(filter, port)) continue;
      for (const { selector, policy } of filter.peers) {
        const isMeant = selector.isWildcard || (labels !== undefined && selector.matches(labels));
        if (!isMeant) continue;
        if (policy.deny) return undefined;
        if (allowsServerName(policy.serverNames, serverName)) found.push(this.#compile(policy));
      }
    }
    return found.length > 0 ? found : undefined;
  }

  #isAt({ direction, protocol, port, endPort, portName }: L4Filter, asked: number): boolean {
    if (protocol !== "TCP" && protocol !== "ANY") return false;
    if (portName !== "") return this.#owner.namedPort(direction, portName, protocol) === asked;
    return port === 0 || port === asked || (port <= asked && asked <= endPort);
  }

  #compile(policy: SelectorPolicy): PeerRules {
    let rules = this.#compiled.get(policy);
    if (rules === undefined) {
      const http = policy.rules?.http ?? [];
      const compiled = http.map((each) => new HttpRule(each, this.#secretOf));
      rules = { policy, http: compiled.length > 0 ? compiled : undefined };
      this.#compiled.set(policy, rules);
    }
    return rules;
  }
}

const ANYTHING: SelectorPolicy = {
  parser: "",
  serverNames: [],
  listener: "",
  listenerPriority: 0,
  deny: false,
};

function unchanged({ headers }: HttpRequest): MatchedRequest {
  return { headers, findings: { missing: {}, rejected: {} } };
}

function allowsServerName(names: readonly string[], asked: string | undefined): boolean {
  if (names.length === 0) return true;
  if (asked === undefined) return false;
  return names.some((name) => serverNamePattern(name).test(asked.toLowerCase()));
}

/** `*` stays within a label, `**` stands for one or more whole ones, a lone `*` for any name (SniPattern of cilium/network_policy.cc). */
function serverNamePattern(name: string): RegExp {
  const labels = "[-a-z0-9_]+([.][-a-z0-9_]+)*";
  if (name === "*") return new RegExp(`^${labels}$`);
  const expression = name
    .toLowerCase()
    .replaceAll(/[^-a-z0-9_.*]/g, "\\$&")
    .replaceAll(".", "[.]")
    .replaceAll(/[*][*]?/g, (stars) => (stars === "**" ? labels : "[-a-z0-9_]*"));
  return new RegExp(`^${expression}$`);
}
