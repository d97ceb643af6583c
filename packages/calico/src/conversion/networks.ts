import { Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";

/** A range or single address as a range without host bits; `undefined` where it is neither (`libcalico-go/lib/net/ipnet.go` ParseCIDROrIP). */
export function tryParseCidrOrIp(text: string): Prefix | undefined {
  const ip = tryParseIp(text);
  return ip === undefined ? tryParsePrefix(text) : Prefix.host(ip);
}

/** Ranges as texts; what cannot be read is left out, as Felix does. */
export function normalisedNets(texts: readonly string[] | undefined): readonly string[] {
  return (texts ?? []).flatMap((text) => tryParseCidrOrIp(text)?.toString() ?? []);
}
