import type { KubeObject, Labels, Node } from "@cnilab/core";
import { formatIp, Prefix, parsePrefix, tryParseIp } from "@cnilab/net";
import type {
  Direction,
  NamedPort,
  PeerTerm,
  Policy,
  PolicyEndpoint,
  PortTerm,
  Rule,
  Tier,
} from "@cnilab/network-policy";
import type { FelixConfigurationSpec, ProtoPort } from "../api/v3/felix-configuration.ts";
import type { HostEndpoint } from "../api/v3/host-endpoint.ts";
import type { Profile } from "../api/v3/profile.ts";
import { modelHostEndpoint } from "../conversion/model-endpoints.ts";
import { modelProfile } from "../conversion/model-sets.ts";
import { DEFAULT_RULES_CONFIG } from "../rules/rules-config.ts";
import { ipProtocol, type RuleTerms } from "./rule-terms.ts";
import type { Phase, Tiers } from "./tiers.ts";

/** Lets everything through (`libcalico-go/lib/resources/profiles.go`). */
const DEFAULT_ALLOW = "projectcalico-default-allow";

/** Interfaces of hosts that have policies, by their addresses. */
export class HostEndpoints {
  readonly #byAddress = new Map<string, HostEndpoint>();

  constructor(endpoints: readonly HostEndpoint[], nodes: readonly Node[]) {
    const addressesOf = new Map(
      nodes.map(({ metadata, status }) => [
        metadata.name,
        (status?.addresses ?? []).map(({ address }) => address),
      ]),
    );
    // What names an interface is before what is for all of them.
    const sorted = endpoints.toSorted((x, y) => Number(isForAll(x)) - Number(isForAll(y)));
    for (const endpoint of sorted) {
      const { expectedIPs = [], node } = endpoint.spec;
      const texts = expectedIPs.length > 0 ? expectedIPs : (addressesOf.get(node) ?? []);
      for (const text of texts) {
        const ip = tryParseIp(text);
        const key = ip === undefined ? undefined : formatIp(ip);
        if (key !== undefined && !this.#byAddress.has(key)) this.#byAddress.set(key, endpoint);
      }
    }
  }

  /** What selectors and rules see of the interface that has the endpoint's address. */
  at({
    address,
  }: PolicyEndpoint):
    | { readonly labels: Labels; readonly ports: readonly NamedPort[] }
    | undefined {
    const found = this.#byAddress.get(formatIp(address));
    if (found === undefined) return undefined;
    const { labels, ports } = modelHostEndpoint(found);
    return {
      labels: Object.fromEntries(labels),
      ports: ports.map(({ name, protocol, port }) => ({
        name,
        port,
        protocol: ipProtocol(protocol),
      })),
    };
  }

  /** Those that policies of a phase are about: no interface of many can do without connection tracking (`endpoint_mgr.go`). */
  withPhase(phase: Exclude<Phase, "normal">): PeerTerm {
    const all = [...this.#byAddress];
    const some = phase === "preDNAT" ? all : all.filter(([, endpoint]) => !isForAll(endpoint));
    return addresses(some.map(([address]) => address));
  }

  /**
   * What holds for them beside policies: failsafe ports before all, and behind the last tier profiles, without which all is
   * denied (`felix/rules/endpoints.go`).
   */
  surroundings(
    tiers: Tiers,
    felix: KubeObject & { readonly spec: FelixConfigurationSpec },
    profiles: readonly Profile[],
    rules: RuleTerms,
  ): readonly Policy[] {
    if (this.#byAddress.size === 0) return [];
    const failsafe: Tier = { name: "failsafe ports", order: tiers.first, otherwise: "Pass" };
    const end: Tier = { name: "profiles", order: tiers.last, otherwise: "Deny" };
    const known = new Map(
      profiles.map((profile) => [profile.metadata.name, modelProfile(profile)]),
    );
    const rulesOf = (names: readonly string[], direction: Direction): readonly Rule[] =>
      names.flatMap((name): readonly Rule[] => {
        const path = `spec.profiles: ${name}`;
        if (name === DEFAULT_ALLOW) return [{ path, action: "Allow" }];
        const profile = known.get(name);
        const list = direction === "ingress" ? profile?.inboundRules : profile?.outboundRules;
        return (list ?? []).flatMap((rule, index) => rules.of(rule, { path, direction, index }));
      });
    const endpoints = new Map<HostEndpoint, string[]>();
    for (const [address, endpoint] of this.#byAddress) {
      endpoints.set(endpoint, [...(endpoints.get(endpoint) ?? []), address]);
    }
    return [
      {
        object: felix,
        tier: failsafe,
        priority: 0,
        subject: addresses([...this.#byAddress.keys()]),
        ingress: openPorts(felix.spec, "ingress"),
        egress: openPorts(felix.spec, "egress"),
      },
      ...[...endpoints].map(([object, texts]): Policy => {
        const { profiles: names = [] } = object.spec;
        return {
          object,
          tier: end,
          priority: 0,
          subject: addresses(texts),
          ingress: rulesOf(names, "ingress"),
          egress: rulesOf(names, "egress"),
        };
      }),
    ];
  }
}

function isForAll({ spec }: HostEndpoint): boolean {
  return spec.interfaceName === "*";
}

function addresses(texts: readonly string[]): PeerTerm {
  const cidrs = texts.flatMap((text) => {
    const ip = tryParseIp(text);
    return ip === undefined ? [] : [Prefix.host(ip)];
  });
  return { kind: "block", cidrs, except: [] };
}

function openPorts(spec: FelixConfigurationSpec, direction: Direction): readonly Rule[] {
  const [field, standard] =
    direction === "ingress"
      ? (["failsafeInboundHostPorts", DEFAULT_RULES_CONFIG.failsafeInbound] as const)
      : (["failsafeOutboundHostPorts", DEFAULT_RULES_CONFIG.failsafeOutbound] as const);
  const open: readonly ProtoPort[] = spec[field] ?? standard;
  return open.map(({ protocol = "tcp", port, net }) => {
    const ports: readonly PortTerm[] = [
      { protocol: ipProtocol({ name: protocol }), first: port, last: port },
    ];
    const peers: readonly PeerTerm[] | undefined =
      net === undefined ? undefined : [{ kind: "block", cidrs: [parsePrefix(net)], except: [] }];
    return { path: `spec.${field}`, action: "Allow", ports, ...(peers !== undefined && { peers }) };
  });
}
