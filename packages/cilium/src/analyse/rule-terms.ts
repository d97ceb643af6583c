import type { LabelSelectorRequirement, Protocol } from "@cnilab/core";
import {
  allPorts,
  type Direction,
  icmpNumber,
  type PeerTerm,
  type PortTerm,
  type Rule,
} from "@cnilab/network-policy";
import type { L4Proto, PortProtocol, PortRule } from "../api/v2/rule.ts";
import { icmpPort } from "../policy/icmp-types.ts";
import { parserOf } from "../policy/l4-policy.ts";
import { peerSelectors } from "../policy/peer-selectors.ts";
import { AUTH_TYPE, policyMapEntry } from "../policy/policy-map-entry.ts";
import type { PeerRule } from "../policy/policy-rule.ts";
import type { PolicySettings } from "../policy/policy-settings.ts";
import { isPortName, parsePort } from "../policy/port-text.ts";
import { type L7Parser, listenerPriorityOf } from "../policy/selector-policy.ts";
import { nameText, providedText } from "./l7-text.ts";
import type { NamedPorts } from "./named-ports.ts";
import type { PeerTerms } from "./peer-terms.ts";

/** Before all that allow. */
const DENY_RANK = -1000;
const EVERY_PORT: PortRule = {};

/** Where a rule stands. */
export interface RulePlace {
  /** In the object as it was given. */
  readonly path: string;
  readonly direction: Direction;
  readonly deny: boolean;
}

/** Rules of Cilium in the one form of all policies. */
export class RuleTerms {
  readonly #settings: PolicySettings;
  readonly #peers: PeerTerms;
  readonly #names: NamedPorts;

  constructor(settings: PolicySettings, peers: PeerTerms, names: NamedPorts) {
    this.#settings = settings;
    this.#peers = peers;
    this.#names = names;
  }

  /**
   * None where the rule can match nothing; several where proxies look into some of its ports.
   * @param requirements what all endpoints must have beside
   */
  of(
    rule: PeerRule,
    { path, direction, deny }: RulePlace,
    requirements: readonly LabelSelectorRequirement[],
  ): readonly Rule[] {
    const { ports, icmps, authentication } = rule;
    const peers = this.#peersOf(rule, direction, requirements);
    if (peers === undefined) return [];
    const form = (portRule: PortRule, parser: L7Parser, terms?: readonly PortTerm[]): Rule => {
      const provided = deny ? undefined : providedText(portRule, parser, authentication);
      const rank = deny ? DENY_RANK : -redirectPriority(portRule, parser);
      return {
        path,
        action: deny ? "Deny" : "Allow",
        ...(rank !== 0 && { rank }),
        ...(provided !== undefined && { provided }),
        ...(peers !== "everybody" && { peers }),
        ...(terms !== undefined && { ports: terms }),
      };
    };
    if (ports.length === 0 && icmps.length === 0) {
      return peers === "everybody" && !this.#namesPeers(rule) ? [] : [form(EVERY_PORT, "")];
    }
    const plain: PortTerm[] = icmps.flatMap(({ fields = [] }) =>
      fields.map((field) => icmpTerm(icmpPort(field))),
    );
    const proxied: Rule[] = [];
    for (const portRule of ports) {
      for (const [parser, terms] of this.#byParser(portRule, direction, deny)) {
        if (parser === "") plain.push(...terms);
        else proxied.push(form(portRule, parser, terms));
      }
    }
    return plain.length === 0 ? proxied : [...proxied, form(EVERY_PORT, "", plain)];
  }

  /** `undefined` for nobody. */
  #peersOf(
    rule: PeerRule,
    direction: Direction,
    requirements: readonly LabelSelectorRequirement[],
  ): readonly PeerTerm[] | "everybody" | undefined {
    const selectors = peerSelectors(rule, requirements, this.#settings);
    if (selectors === undefined) return undefined;
    if (selectors.length === 0 || selectors.some((each) => each.isWildcard)) return "everybody";
    const names = direction === "egress" ? (rule.fqdns ?? []) : [];
    return [
      ...selectors
        .filter((each) => each.toString() !== "reserved.none=")
        .map((each) => this.#peers.of(each)),
      ...names.map((each): PeerTerm => ({ kind: "domain", name: nameText(each) })),
    ];
  }

  /** A rule that says neither who nor at which ports is about nobody. */
  #namesPeers(rule: PeerRule): boolean {
    return (peerSelectors(rule, [], this.#settings)?.length ?? 0) > 0;
  }

  /** Ports of a rule by who reads what is sent there. */
  #byParser(
    portRule: PortRule,
    direction: Direction,
    deny: boolean,
  ): ReadonlyMap<L7Parser, readonly PortTerm[]> {
    const found = new Map<L7Parser, PortTerm[]>();
    for (const port of portRule.ports ?? []) {
      const { protocol = "ANY" } = port;
      const protocols: readonly L4Proto[] =
        protocol === "ANY" ? ["TCP", "UDP", "SCTP"] : [protocol];
      for (const each of protocols) {
        const term = this.#portTerm(port, each as Protocol, direction);
        if (term === undefined) continue;
        const parser = deny ? "" : parserOf(portRule, each);
        found.set(parser, [...(found.get(parser) ?? []), term]);
      }
    }
    return found;
  }

  /** `undefined` for a name that is no port's. */
  #portTerm(
    { port, endPort = 0 }: PortProtocol,
    protocol: Protocol,
    direction: Direction,
  ): PortTerm | undefined {
    if (isPortName(port)) {
      if (direction === "ingress") return { protocol, portName: port };
      const number = this.#names.of(port, protocol);
      return number === undefined ? undefined : { protocol, first: number, last: number };
    }
    const first = parsePort(port) ?? 0;
    if (first === 0 && (endPort === 0 || endPort === 65_535)) {
      return { protocol, ...allPorts(protocol) };
    }
    return { protocol, first, last: Math.max(first, endPort) };
  }
}

/** A type is ICMP's port, and port 0 is every port: the type 0 is every type. */
function icmpTerm({ port, protocol }: PortProtocol): PortTerm {
  const name = protocol === "ICMPv6" ? "ICMPv6" : "ICMP";
  const type = Number(port);
  if (type === 0) return { protocol: name, ...allPorts(name) };
  return { protocol: name, first: icmpNumber(type, 0), last: icmpNumber(type, 255) };
}

/** 0 where no proxy reads. */
function redirectPriority({ listener }: PortRule, parser: L7Parser): number {
  if (parser === "") return 0;
  return policyMapEntry({
    deny: false,
    proxyPort: 1,
    listenerPriority: listener?.priority || listenerPriorityOf(parser),
    authType: AUTH_TYPE.disabled,
    authExplicit: false,
    rules: [],
  }).proxyPortPriority;
}
