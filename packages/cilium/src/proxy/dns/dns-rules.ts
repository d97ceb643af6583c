import { IPPROTO_TCP, IPPROTO_UDP } from "@cnilab/net";
import type { FQDNSelector } from "../../api/v2/rule.ts";
import type { NumericIdentity } from "../../identity/numeric-identity.ts";
import type { PeerSelector } from "../../policy/cached-selector.ts";
import type { Redirect } from "../../policy/endpoint-policy.ts";
import { fqdn, fqdnExpression } from "../../policy/match-pattern.ts";
import type { IdentityLabels } from "../http/network-policy.ts";

/** Where a question goes. */
export interface DnsServer {
  readonly protocol: number;
  readonly port: number;
  readonly identity: NumericIdentity;
}

interface PortRules {
  /** 0 for both. */
  readonly protocol: number;
  readonly port: number;
  readonly peers: readonly {
    readonly selector: PeerSelector;
    readonly names: readonly RegExp[];
  }[];
}

/** Which names endpoints may ask whom for (pkg/fqdn/dnsproxy perEPAllow). */
export class DnsRules {
  readonly #labelsOf: IdentityLabels;
  readonly #byEndpoint = new Map<number, readonly PortRules[]>();

  constructor(labelsOf: IdentityLabels) {
    this.#labelsOf = labelsOf;
  }

  /** All redirects of an endpoint that lead to this proxy, in place of those before. */
  set(endpointId: number, redirects: readonly Redirect[]): void {
    if (redirects.length === 0) {
      this.#byEndpoint.delete(endpointId);
      return;
    }
    this.#byEndpoint.set(endpointId, redirects.map(portRules));
  }

  allows(endpointId: number, server: DnsServer, name: string): boolean {
    const { protocol, port, identity } = server;
    const asked = fqdn(name);
    const labels = this.#labelsOf(identity);
    for (const each of this.#byEndpoint.get(endpointId) ?? []) {
      if (each.port !== port || (each.protocol !== 0 && each.protocol !== protocol)) continue;
      for (const { selector, names } of each.peers) {
        if (!selector.isWildcard && !(labels !== undefined && selector.matches(labels))) continue;
        if (names.some((expression) => expression.test(asked))) return true;
      }
    }
    return false;
  }
}

const PROTOCOLS: Readonly<Record<string, number>> = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP };

function portRules({ proxyId, filter }: Redirect): PortRules {
  // Names of ports have become numbers there.
  const port = Number(proxyId.split(":")[3]);
  const peers = [...filter.peers].filter(({ policy }) => !policy.deny);
  return {
    protocol: PROTOCOLS[filter.protocol] ?? 0,
    port,
    peers: peers.map(({ selector, policy }) => ({
      selector,
      names: expressions(policy.rules?.dns),
    })),
  };
}

/** Rules without names let all pass (GeneratePattern). */
function expressions(rules: readonly FQDNSelector[] = []): readonly RegExp[] {
  if (rules.length === 0) return [/^/];
  return rules.flatMap(({ matchName = "", matchPattern = "" }) => [
    ...(matchName === "" ? [] : [fqdnExpression({ matchName })]),
    ...(matchPattern === "" ? [] : [matchPattern === "*" ? /^/ : fqdnExpression({ matchPattern })]),
  ]);
}
