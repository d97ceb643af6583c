import { Prefix, tryParseInterfaceAddress, tryParseIp } from "@cnilab/net";
import type { PolicyRule } from "../policy/policy-rule.ts";

/**
 * Ranges that rules name, which have identities then: an address has a label of the narrowest around it. All addresses are the world,
 * and no range (pkg/policy/cidr.go GetCIDRPrefixes).
 */
export class KnownRanges {
  readonly #prefixes: ReadonlyMap<string, Prefix>;

  constructor(rules: readonly PolicyRule[]) {
    const all = rules.flatMap(prefixesOf).filter(({ length }) => length > 0);
    this.#prefixes = new Map(all.map((prefix) => [String(prefix), prefix]));
  }

  /** Addresses of the range that an identity can tell from others: all of them where rules name it. */
  within(range: Prefix): readonly Prefix[] {
    if (this.#prefixes.has(String(range))) return [range];
    return [...this.#prefixes.values()].filter((prefix) => range.covers(prefix));
  }
}

function prefixesOf({ ingress, ingressDeny, egress, egressDeny }: PolicyRule): readonly Prefix[] {
  const rules = [ingress, ingressDeny, egress, egressDeny].flat();
  const texts = rules.flatMap(({ cidrs = [], cidrRules = [] }) => [
    ...cidrs,
    ...cidrRules.flatMap(({ cidr, except = [] }) => (cidr ? [cidr, ...except] : except)),
  ]);
  return texts.flatMap((text) => {
    const range = tryParseInterfaceAddress(text);
    if (range !== undefined) return [new Prefix(range.address, range.length)];
    const address = tryParseIp(text);
    return address === undefined ? [] : [Prefix.host(address)];
  });
}
