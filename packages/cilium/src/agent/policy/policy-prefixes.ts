import { Prefix, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import type { PolicyRule } from "../../policy/policy-rule.ts";

/** Of texts that are ranges or addresses, each once. */
export function prefixesOf(texts: Iterable<string>): readonly Prefix[] {
  const prefixes = new Map<string, Prefix>();
  for (const text of texts) {
    const given = tryParseInterfaceAddress(text);
    const address = given === undefined ? tryParseIp(text) : undefined;
    const prefix =
      given !== undefined
        ? new Prefix(given.address, given.length)
        : address === undefined
          ? undefined
          : Prefix.host(address);
    if (prefix !== undefined) prefixes.set(String(prefix), prefix);
  }
  return [...prefixes.values()];
}

/** Ranges that rules speak of, and those that they leave out: each gets an identity (pkg/policy/cidr.go GetCIDRPrefixes). */
export function policyPrefixes(rules: readonly PolicyRule[]): readonly Prefix[] {
  const texts: string[] = [];
  for (const { ingress, ingressDeny, egress, egressDeny } of rules) {
    for (const { cidrs = [], cidrRules = [] } of [
      ...ingress,
      ...ingressDeny,
      ...egress,
      ...egressDeny,
    ]) {
      texts.push(...cidrs);
      for (const { cidr, except = [] } of cidrRules) texts.push(cidr ?? "", ...except);
    }
  }
  return prefixesOf(texts);
}
