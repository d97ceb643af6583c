import { uniqueId } from "../hash/unique-id.ts";
import type { Selector } from "../selector/selector.ts";
import type { IpSetType, RuleProtocol } from "./messages.ts";

/** Of a named port: `any` where the rule names none (`felix/labelindex/ipsetmember/ipset_port_protocol.go`). */
export type NamedPortProtocol = "tcp" | "udp" | "sctp" | "any";

/** What an IP set holds (`felix/calc/rule_scanner.go` IPSetData). */
export type IpSetDefinition =
  /** Addresses of endpoints and network sets. */
  | { readonly id: string; readonly type: "NET"; readonly selector: Selector }
  /** A port by name, of the endpoints that have it. */
  | {
      readonly id: string;
      readonly type: "IP_AND_PORT";
      readonly selector: Selector;
      readonly namedPort: string;
      readonly protocol: NamedPortProtocol;
    }
  /** A Service's endpoints, with their ports or without; `service` is `<namespace>/<name>`. */
  | { readonly id: string; readonly type: IpSetType; readonly service: string };

/** Addresses of what a selector matches. */
export function selectorIpSet(selector: Selector): IpSetDefinition {
  return { id: selector.uniqueId, type: "NET", selector };
}

/** A port by its name, of what a selector matches. */
export function namedPortIpSet(
  selector: Selector,
  namedPort: string,
  protocol: NamedPortProtocol,
): IpSetDefinition {
  const id = uniqueId("n", `${selector.uniqueId},${protocol},${namedPort}`);
  return { id, type: "IP_AND_PORT", selector, namedPort, protocol };
}

/** A Service's endpoints. */
export function serviceIpSet(service: string, withPorts: boolean): IpSetDefinition {
  return withPorts
    ? { id: uniqueId("svc", service), type: "IP_AND_PORT", service }
    : { id: uniqueId("svcnoport", service), type: "NET", service };
}

/** TCP, unless it says another that has ports (ProtocolFrom). */
export function portProtocol(protocol: RuleProtocol): "tcp" | "udp" | "sctp" {
  if (isProtocol(protocol, "udp", 17)) return "udp";
  return isProtocol(protocol, "sctp", 132) ? "sctp" : "tcp";
}

/** Whether a port of an endpoint is of a rule's protocol (MatchesModelProtocol). `any` is none of the numbers. */
export function isPortOf(rule: NamedPortProtocol, port: RuleProtocol): boolean {
  if (rule === "any") return "name" in port || port.number === 0;
  return isProtocol(port, rule, { tcp: 6, udp: 17, sctp: 132 }[rule]);
}

function isProtocol(protocol: RuleProtocol, name: string, number: number): boolean {
  return "name" in protocol ? protocol.name.toLowerCase() === name : protocol.number === number;
}
