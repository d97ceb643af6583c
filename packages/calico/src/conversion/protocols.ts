import type { Protocol } from "../api/v3/rule.ts";
import type { RuleProtocol } from "../calc/messages.ts";

/** Names as v3 objects spell them (`api/pkg/lib/numorstring/protocol.go`). */
const NAMES = ["UDP", "TCP", "ICMP", "ICMPv6", "SCTP", "UDPLite"];

/** A protocol as v3 objects spell it; one that is not known stays as it is. */
export function protocolName(text: string): string {
  return NAMES.find((name) => name.toLowerCase() === text.toLowerCase()) ?? text;
}

/** A protocol as Felix takes it: numbers stay, names in lower case (ToV1). */
export function ruleProtocol(protocol: Protocol): RuleProtocol {
  if (typeof protocol === "number") return { number: protocol };
  return /^\d+$/.test(protocol) ? { number: Number(protocol) } : { name: protocol.toLowerCase() };
}
