import { type IpFamily, parsePrefix } from "@cnilab/net";
import {
  type Action,
  allPorts,
  type Direction,
  type IpProtocol,
  icmpNumber,
  type PeerTerm,
  type PortTerm,
  type Rule,
} from "@cnilab/network-policy";
import type { RuleAction, RuleProtocol } from "../calc/messages.ts";
import type { ModelRule, ModelRuleSide } from "../conversion/model.ts";
import type { ParsedPort } from "../conversion/ports.ts";
import type { SelectorTerms } from "./selector-terms.ts";
import type { ServiceIndex } from "./service-members.ts";

/** Where a rule stands, for people and for Calico. */
export interface RulePlace {
  /** In the object as it was given. */
  readonly path: string;
  readonly direction: Direction;
  /** Among the rules of the policy as Felix has them. */
  readonly index: number;
}

/** A rule that knows its number among those of Calico's own policy. */
export interface CalicoRule extends Rule {
  readonly index: number;
}

const ACTIONS: Readonly<Record<RuleAction, Action>> = {
  allow: "Allow",
  deny: "Deny",
  log: "Log",
  pass: "Pass",
  "next-tier": "Pass",
};

/** Rules of Felix in the one form of all policies. */
export class RuleTerms {
  readonly #selectors: SelectorTerms;
  readonly #services: ServiceIndex;

  constructor(selectors: SelectorTerms, services: ServiceIndex) {
    this.#selectors = selectors;
    this.#services = services;
  }

  /**
   * None where the rule can match nothing; several where its Service has endpoints with different ports.
   * @throws SelectorError
   */
  of(rule: ModelRule, { path, direction, index }: RulePlace): readonly CalicoRule[] {
    const families = familiesOf(rule);
    if (families.length === 0) return [];
    const [only, other] = families;
    const family: readonly PeerTerm[] =
      other === undefined && only !== undefined ? [{ kind: "family", family: only }] : [];
    const [peer, own] =
      direction === "ingress" ? [rule.source, rule.destination] : [rule.destination, rule.source];
    const source = rule.source.service && this.#sourceService(rule.source.service);
    const atPeer = [
      ...this.#side(peer),
      ...family,
      ...(source !== undefined && direction === "ingress" ? [source] : []),
    ];
    const atOwn = [
      ...this.#side(own),
      ...(source !== undefined && direction === "egress" ? [source] : []),
    ];
    const form: CalicoRule = {
      path,
      index,
      ...(rule.annotations?.["name"] !== undefined && { name: rule.annotations["name"] }),
      action: ACTIONS[rule.action],
      ...together("peers", atPeer),
      ...together("selected", atOwn),
      ...listed("ports", destinationPorts(rule)),
      ...listed("notPorts", refusedPorts(rule)),
      ...listed("sourcePorts", portTerms(rule.source.ports, rule.protocol)),
      ...listed("notSourcePorts", portTerms(rule.source.notPorts, rule.protocol)),
    };
    const { service } = rule.destination;
    if (service === undefined) return [form];
    return this.#services
      .membersOf(service.namespace, service.name)
      .map(({ peers, ports }) =>
        direction === "egress"
          ? { ...form, ...together("peers", [...atPeer, peers]), ports }
          : { ...form, ...together("selected", [...atOwn, peers]), ports },
      );
  }

  /** All that must hold of one end's address. */
  #side({ selector, notSelector, nets = [], notNets = [] }: ModelRuleSide): readonly PeerTerm[] {
    const terms: PeerTerm[] = [];
    if (nets.length > 0) terms.push(block(nets));
    if (selector !== undefined) terms.push(this.#selectors.peer(selector));
    if (notNets.length > 0) terms.push({ kind: "not", of: block(notNets) });
    if (notSelector !== undefined) {
      terms.push({ kind: "not", of: this.#selectors.peer(notSelector) });
    }
    return terms;
  }

  #sourceService({ namespace, name }: NonNullable<ModelRuleSide["service"]>): PeerTerm {
    const members = this.#services.membersOf(namespace, name);
    return { kind: "any", of: members.map(({ peers }) => peers) };
  }
}

/**
 * IP versions for which Felix renders a rule: each list of networks has one of the version, and none that must not match is
 * all of it (`felix/rules/policy.go` FilterRuleToIPVersion).
 */
function familiesOf({ ipVersion, source, destination }: ModelRule): readonly IpFamily[] {
  return ([4, 6] as const).filter((family) => {
    if (ipVersion !== undefined && ipVersion !== family) return false;
    const ofFamily = (nets: readonly string[]) => nets.filter((net) => familyOf(net) === family);
    const hasSome = (nets: readonly string[] = []) =>
      nets.length === 0 || ofFamily(nets).length > 0;
    return [source, destination].every(
      ({ nets, notNets = [] }) =>
        hasSome(nets) && hasSome(notNets) && !ofFamily(notNets).some((net) => net.endsWith("/0")),
    );
  });
}

function familyOf(net: string): IpFamily {
  return net.includes(":") ? 6 : 4;
}

function block(nets: readonly string[]): PeerTerm {
  return { kind: "block", cidrs: nets.map(parsePrefix), except: [] };
}

function together<K extends "peers" | "selected">(
  key: K,
  terms: readonly PeerTerm[],
): { readonly [P in K]?: readonly PeerTerm[] } {
  if (terms.length === 0) return {};
  const all = terms.length === 1 ? terms : [{ kind: "all", of: terms } as const];
  return { [key]: all } as { readonly [P in K]?: readonly PeerTerm[] };
}

function listed<K extends "ports" | "notPorts" | "sourcePorts" | "notSourcePorts">(
  key: K,
  terms: readonly PortTerm[],
): { readonly [P in K]?: readonly PortTerm[] } {
  return (terms.length === 0 ? {} : { [key]: terms }) as {
    readonly [P in K]?: readonly PortTerm[];
  };
}

function destinationPorts(rule: ModelRule): readonly PortTerm[] {
  const { protocol, icmpType, icmpCode, destination } = rule;
  const ports = portTerms(destination.ports, protocol);
  if (ports.length > 0) return ports;
  if (icmpType !== undefined) return [icmpTerm(protocol, icmpType, icmpCode)];
  return protocol === undefined ? [] : [wholeProtocol(protocol)];
}

function refusedPorts(rule: ModelRule): readonly PortTerm[] {
  const { protocol, notProtocol, notIcmpType, notIcmpCode, destination } = rule;
  return [
    ...portTerms(destination.notPorts, protocol),
    ...(notProtocol === undefined ? [] : [wholeProtocol(notProtocol)]),
    ...(notIcmpType === undefined ? [] : [icmpTerm(protocol, notIcmpType, notIcmpCode)]),
  ];
}

function wholeProtocol(protocol: RuleProtocol): PortTerm {
  const name = ipProtocol(protocol);
  return { protocol: name, ...allPorts(name) };
}

function icmpTerm(
  protocol: RuleProtocol = { name: "icmp" },
  type: number,
  code: number | undefined,
): PortTerm {
  return {
    protocol: ipProtocol(protocol),
    first: icmpNumber(type, code ?? 0),
    last: icmpNumber(type, code ?? 255),
  };
}

function portTerms(
  ports: readonly ParsedPort[] = [],
  protocol: RuleProtocol | undefined,
): readonly PortTerm[] {
  const of = protocol && ipProtocol(protocol);
  return ports.flatMap((port): readonly PortTerm[] => {
    if ("name" in port) return [{ portName: port.name, ...(of !== undefined && { protocol: of }) }];
    // The API server demands a protocol beside numbers; multiport knows these.
    const protocols: readonly IpProtocol[] = of === undefined ? ["TCP", "UDP", "SCTP"] : [of];
    return protocols.map((each) => ({ protocol: each, first: port.first, last: port.last }));
  });
}

/** As the one form has them, by name or number (`felix/rules/policy.go`, IANA "Protocol Numbers"). */
const PROTOCOLS: Readonly<Record<string, IpProtocol>> = {
  icmp: "ICMP",
  "1": "ICMP",
  tcp: "TCP",
  "6": "TCP",
  udp: "UDP",
  "17": "UDP",
  icmpv6: "ICMPv6",
  "58": "ICMPv6",
  sctp: "SCTP",
  "132": "SCTP",
  udplite: 136,
};

/** @throws RangeError for a name that the API server refuses */
export function ipProtocol(protocol: RuleProtocol): IpProtocol {
  const text = "name" in protocol ? protocol.name.toLowerCase() : `${protocol.number}`;
  const known = PROTOCOLS[text];
  if (known !== undefined) return known;
  if ("number" in protocol) return protocol.number;
  throw new RangeError(`there is no protocol "${text}"`);
}
