import type { L4Proto, ListenerKind, PortProtocol, PortRule } from "../api/v2/rule.ts";
import { RESERVED_IDENTITY } from "../identity/numeric-identity.ts";
import { RESERVED_LABELS } from "../identity/reserved-identities.ts";
import type { LabelSet } from "../labels/label-set.ts";
import { fqdnSelector, labelSelector, type PeerSelector } from "./cached-selector.ts";
import { reservedSelector, WILDCARD } from "./entities.ts";
import { icmpPort } from "./icmp-types.ts";
import { L4Filter } from "./l4-filter.ts";
import { hasL7Rules, withWildcard } from "./l7-rules.ts";
import type { PolicyFeatures } from "./map-state.ts";
import { peerSelectors, requirementsOf } from "./peer-selectors.ts";
import type { TrafficDirection } from "./policy-map-key.ts";
import type { PeerRule, PolicyRule } from "./policy-rule.ts";
import type { PolicySettings } from "./policy-settings.ts";
import { isPortName, parsePort } from "./port-text.ts";
import {
  authOf,
  type L7Parser,
  listenerPriorityOf,
  PLAIN,
  PolicyConflictError,
  type SelectorPolicy,
} from "./selector-policy.ts";

/** What rules are resolved for. */
export interface L4PolicyContext {
  readonly settings: PolicySettings;
  /** Of the subject. */
  readonly namespace: string;
  /** Whether what no rule allows is denied. */
  readonly defaultDeny: boolean;
}

/** All filters of one direction (pkg/policy/l4.go L4DirectionPolicy). */
export interface L4DirectionPolicy {
  readonly filters: readonly L4Filter[];
  readonly features: PolicyFeatures;
}

const EMPTY: PortRule = {};
const EVERY_PORT: PortProtocol = { port: "0", protocol: "ANY" };

/** Filters of what the rules say of one direction (pkg/policy/rules.go, rule.go). @throws PolicyConflictError */
export function resolveL4Policy(
  direction: TrafficDirection,
  rules: readonly PolicyRule[],
  context: L4PolicyContext,
): L4DirectionPolicy {
  const [allows, denies] =
    direction === "ingress"
      ? (["ingress", "ingressDeny"] as const)
      : (["egress", "egressDeny"] as const);
  const filters = new Map<string, L4Filter>();
  for (const [section, deny] of [
    [allows, false],
    [denies, true],
  ] as const) {
    const requirements = requirementsOf(rules.flatMap((rule) => rule[section]));
    for (const rule of rules) {
      for (const peers of rule[section]) {
        const selectors = peerSelectors(peers, requirements, context.settings);
        if (selectors === undefined) continue;
        const builder = new FilterBuilder(filters, direction, rule, deny, context);
        builder.add(peers, selectors.map(labelSelector));
      }
    }
  }
  const all = [...filters.values()];
  return { filters: all, features: featuresOf(all) };
}

function featuresOf(filters: readonly L4Filter[]): PolicyFeatures {
  const policies = filters.flatMap(({ peers }) => [...peers].map(({ policy }) => policy));
  return {
    deny: policies.some(({ deny }) => deny),
    redirect: policies.some(({ parser }) => parser !== ""),
    auth: policies.some((policy) => authOf(policy).authExplicit),
  };
}

const HOST_LABELS = RESERVED_LABELS.get(RESERVED_IDENTITY.host) as LabelSet;
const HOST = labelSelector(reservedSelector("host"));
const ANYBODY = labelSelector(WILDCARD);

/** Adds what one rule says to the filters. */
class FilterBuilder {
  readonly #filters: Map<string, L4Filter>;
  readonly #direction: TrafficDirection;
  readonly #rule: PolicyRule;
  readonly #deny: boolean;
  readonly #context: L4PolicyContext;

  constructor(
    filters: Map<string, L4Filter>,
    direction: TrafficDirection,
    rule: PolicyRule,
    deny: boolean,
    context: L4PolicyContext,
  ) {
    this.#filters = filters;
    this.#direction = direction;
    this.#rule = rule;
    this.#deny = deny;
    this.#context = context;
  }

  add(peers: PeerRule, given: readonly PeerSelector[]): void {
    const { ports, icmps } = peers;
    if (ports.length === 0 && icmps.length === 0) {
      if (given.length > 0) this.#addPort(peers, given, EMPTY, EVERY_PORT, "ANY");
      return;
    }
    const selectors = given.length === 0 ? [ANYBODY] : given;
    for (const portRule of ports) {
      for (const port of portRule.ports ?? []) {
        const { protocol = "ANY" } = port;
        // SCTP is there though its support may be off.
        const protocols: readonly L4Proto[] =
          protocol === "ANY" ? ["TCP", "UDP", "SCTP"] : [protocol];
        for (const each of protocols) this.#addPort(peers, selectors, portRule, port, each);
      }
    }
    for (const { fields = [] } of icmps) {
      for (const port of fields.map(icmpPort)) {
        this.#addPort(peers, selectors, EMPTY, port, port.protocol as L4Proto);
      }
    }
  }

  #addPort(
    peers: PeerRule,
    given: readonly PeerSelector[],
    portRule: PortRule,
    port: PortProtocol,
    protocol: L4Proto,
  ): void {
    const filter = this.#filter(port, protocol);
    const policy = this.#policy(peers, portRule, protocol);
    const selectors = given.some((each) => each.isWildcard)
      ? [ANYBODY]
      : [...given, ...(this.#direction === "egress" ? (peers.fqdns ?? []) : []).map(fqdnSelector)];
    const rules = [this.#rule];
    for (const selector of new Map(selectors.map((each) => [each.key, each])).values()) {
      filter.add({ selector, policy, rules });
    }
    // The node reaches its pods past their proxies.
    const { allowLocalhost } = this.#context.settings;
    if (this.#direction === "egress" || policy.parser === "" || allowLocalhost === "policy") return;
    if (selectors.some(({ key }) => key === HOST.key)) return;
    if (selectors.some((each) => each.isWildcard || each.matches(HOST_LABELS))) {
      filter.add({ selector: HOST, policy: PLAIN, rules: [] });
    }
  }

  #filter({ port, endPort = 0 }: PortProtocol, protocol: L4Proto): L4Filter {
    const portName = isPortName(port) ? port : "";
    const number = portName === "" ? (parsePort(port) ?? 0) : 0;
    // A range to a port's name does not count among filters, as it has no end.
    const key = portName === "" ? `${number}-${endPort}/${protocol}` : `${portName}/${protocol}`;
    let filter = this.#filters.get(key);
    if (filter === undefined) {
      filter = new L4Filter({
        direction: this.#direction,
        protocol,
        port: number,
        endPort,
        portName,
      });
      this.#filters.set(key, filter);
    }
    return filter;
  }

  #policy(peers: PeerRule, portRule: PortRule, protocol: L4Proto): SelectorPolicy {
    if (this.#deny) return { ...PLAIN, deny: true };
    const { rules, serverNames = [], terminatingTLS, originatingTLS } = portRule;
    const parser = parserOf(portRule, protocol);
    const { authentication } = peers;
    if (parser === "" && authentication === undefined) return PLAIN;
    const { listener, priority } = this.#listener(portRule, parser);
    // Where nothing is denied by default the proxy must not deny either.
    const whole = hasL7Rules(rules) && !this.#context.defaultDeny ? withWildcard(rules) : rules;
    return {
      parser,
      serverNames,
      listener,
      listenerPriority: priority,
      deny: false,
      ...(terminatingTLS && { terminatingTls: terminatingTLS }),
      ...(originatingTLS && { originatingTls: originatingTLS }),
      ...(whole && { rules: whole }),
      ...(authentication && { authentication }),
    };
  }

  #listener(
    { listener }: PortRule,
    parser: L7Parser,
  ): { readonly listener: string; readonly priority: number } {
    const usual = listenerPriorityOf(parser);
    if (listener === undefined) return { listener: "", priority: usual };
    const { envoyConfig, name, priority = 0 } = listener;
    const { namespace: own } = this.#context;
    if (envoyConfig.kind === "CiliumEnvoyConfig" && own === "") {
      throw new PolicyConflictError(
        `Listener "${name}" in CCNP can not use Kind CiliumEnvoyConfig`,
      );
    }
    const namespace = envoyConfig.kind === CLUSTERWIDE ? "" : own;
    return {
      listener: qualifiedName(namespace, envoyConfig.name, name),
      priority: priority === 0 ? usual : priority,
    };
  }
}

const CLUSTERWIDE: ListenerKind = "CiliumClusterwideEnvoyConfig";

/** What reads connections that a rule allows at some ports. */
export function parserOf(portRule: PortRule, protocol: L4Proto): L7Parser {
  const { rules, listener, serverNames = [], terminatingTLS, originatingTLS } = portRule;
  if (listener !== undefined) return "crd";
  if ((rules?.dns?.length ?? 0) > 0) return "dns";
  if (protocol === "TCP") {
    if ((rules?.http?.length ?? 0) > 0) return "http";
    if ((rules?.kafka?.length ?? 0) > 0) return "kafka";
    if (rules?.l7proto) return rules.l7proto;
  }
  return terminatingTLS || originatingTLS || serverNames.length > 0 ? "tls" : "";
}

/** `NAMESPACE/CONFIG/LISTENER`, unless the name already starts so (pkg/policy/api/utils.go ResourceQualifiedName). */
function qualifiedName(namespace: string, config: string, name: string): string {
  return name === "" || name.startsWith(`${namespace}/`) ? name : `${namespace}/${config}/${name}`;
}
