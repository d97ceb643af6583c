import type { FibRule, NetNamespace } from "@cnilab/linux";
import { formatIp, type IpFamily, type Prefix } from "@cnilab/net";
import type { JsonObject, JsonValue } from "../json.ts";
import { tableName } from "./routes.ts";

/** `ip [-6] rule show` (iproute2 6.1). */
export function rulesText(netns: NetNamespace, family: IpFamily = 4): string {
  return netns
    .fib(family)
    .rules.map((rule) => `${ruleText(netns, rule)}\n`)
    .join("");
}

/** `ip -j [-6] rule show`. */
export function rulesJson(netns: NetNamespace, family: IpFamily = 4): JsonObject[] {
  return netns.fib(family).rules.map((rule) => ruleJson(netns, rule));
}

function ruleText(netns: NetNamespace, rule: FibRule): string {
  const words: string[] = [];
  if (rule.not) words.push("not");
  words.push(`from ${rule.from === undefined ? "all" : prefixText(rule.from)}`);
  if (rule.to !== undefined) words.push(`to ${prefixText(rule.to)}`);
  if (rule.tos !== undefined) words.push(`tos 0x${rule.tos.toString(16)}`);
  if (rule.fwmark !== undefined) {
    const { value, mask } = rule.fwmark;
    words.push(`fwmark ${hex(value)}${mask === 0xffffffff ? "" : `/${hex(mask)}`}`);
  }
  for (const direction of ["iif", "oif"] as const) {
    const name = rule[direction];
    if (name === undefined) continue;
    words.push(`${direction} ${name}${detached(netns, name) ? " [detached]" : ""}`);
  }
  if (rule.ipProtocol !== undefined) words.push(`ipproto ${protocolText(rule.ipProtocol)}`);
  for (const side of ["sport", "dport"] as const) {
    const range = rule[side];
    if (range === undefined) continue;
    const text = range.first === range.last ? range.first : `${range.first}-${range.last}`;
    words.push(`${side} ${text}`);
  }
  const { action } = rule;
  if ("table" in action) {
    words.push(`lookup ${tableName(action.table)}`);
    if (rule.suppressPrefixLength !== undefined) {
      words.push(`suppress_prefixlength ${rule.suppressPrefixLength}`);
    }
  } else if ("goto" in action) {
    words.push(`goto ${action.goto}${unresolved(netns, rule, action.goto) ? " [unresolved]" : ""}`);
  } else {
    words.push(action.type);
  }
  return `${rule.priority}:\t${words.join(" ")}`;
}

function ruleJson(netns: NetNamespace, rule: FibRule): JsonObject {
  const json: { [key: string]: JsonValue } = { priority: rule.priority };
  if (rule.not) json["not"] = null;
  Object.assign(json, rule.from === undefined ? { src: "all" } : prefixJson("src", rule.from));
  if (rule.to !== undefined) Object.assign(json, prefixJson("dst", rule.to));
  if (rule.tos !== undefined) json["tos"] = `0x${rule.tos.toString(16)}`;
  if (rule.fwmark !== undefined) {
    json["fwmark"] = hex(rule.fwmark.value);
    if (rule.fwmark.mask !== 0xffffffff) json["fwmask"] = hex(rule.fwmark.mask);
  }
  for (const direction of ["iif", "oif"] as const) {
    const name = rule[direction];
    if (name === undefined) continue;
    json[direction] = name;
    if (detached(netns, name)) json[`${direction}_detached`] = null;
  }
  if (rule.ipProtocol !== undefined) json["ipproto"] = protocolText(rule.ipProtocol);
  for (const side of ["sport", "dport"] as const) {
    const range = rule[side];
    if (range === undefined) continue;
    if (range.first === range.last) json[side] = range.first;
    else Object.assign(json, { [`${side}_start`]: range.first, [`${side}_end`]: range.last });
  }
  const { action } = rule;
  if ("table" in action) {
    json["table"] = tableName(action.table);
    if (rule.suppressPrefixLength !== undefined) {
      json["suppress_prefixlen"] = rule.suppressPrefixLength;
    }
  } else if ("goto" in action) {
    json["goto"] = action.goto;
    if (unresolved(netns, rule, action.goto)) json["unresolved"] = null;
  } else {
    json["action"] = action.type;
  }
  return json;
}

function detached(netns: NetNamespace, name: string): boolean {
  return netns.findDevice(name) === undefined;
}

/** A goto whose target does not exist has no effect (net/core/fib_rules.c). */
function unresolved(netns: NetNamespace, rule: FibRule, target: number): boolean {
  const family = rule.from?.family ?? rule.to?.family ?? 4;
  return !netns.fib(family).rules.some((r) => r.priority === target);
}

function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

function prefixText(prefix: Prefix): string {
  return prefix.isHost ? formatIp(prefix.address) : prefix.toString();
}

function prefixJson(side: "src" | "dst", prefix: Prefix): JsonObject {
  const address = formatIp(prefix.address);
  return prefix.isHost ? { [side]: address } : { [side]: address, [`${side}len`]: prefix.length };
}

/** Names of IP protocols as /etc/protocols has them. */
function protocolText(protocol: number): string {
  const names: Readonly<Record<number, string>> = {
    1: "icmp",
    4: "ipencap",
    6: "tcp",
    17: "udp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    58: "ipv6-icmp",
    132: "sctp",
  };
  return names[protocol] ?? `ipproto-${protocol}`;
}
