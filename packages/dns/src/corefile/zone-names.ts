import { tryParsePrefix } from "@cnilab/net";
import { isDomainName, normalizeName, reverseZones } from "../message/name.ts";

/** Protocols that a key of a server block, or an upstream, may begin with. */
export type DnsScheme = "dns" | "tls" | "quic" | "grpc" | "https" | "https3" | "unix";

const SCHEMES: readonly DnsScheme[] = ["dns", "tls", "quic", "grpc", "https", "https3", "unix"];

/** A text taken apart into its scheme and the rest. */
export function splitScheme(text: string): { readonly scheme: DnsScheme; readonly rest: string } {
  for (const scheme of SCHEMES) {
    if (text.startsWith(`${scheme}://`)) return { scheme, rest: text.slice(scheme.length + 3) };
  }
  return { scheme: "dns", rest: text };
}

export interface ZonesAndPort {
  /** Normalised; several for a range that does not end at an octet or nibble. */
  readonly zones: readonly string[];
  readonly port?: number;
}

/**
 * `ZONE[:PORT]`, where the zone may be a range of addresses and stands then for its reverse zones (CoreDNS
 * `plugin/normalize.go` SplitHostPort).
 * @returns what is wrong with it where it is no zone
 */
export function parseZone(text: string): ZonesAndPort | { readonly problem: string } {
  const { rest } = splitScheme(text);
  const colon = rest.lastIndexOf(":");
  if (rest === "" || colon === rest.length - 1) {
    return { problem: `"${text}" is not a zone: nothing comes after its last colon` };
  }
  const digits = rest.slice(colon + 1);
  const hasPort = colon >= 0 && /^[0-9]+$/.test(digits);
  const port = hasPort ? Number(digits) : undefined;
  if (port !== undefined && port > 65_535) return { problem: `"${text}": ${port} is not a port` };
  const host = hasPort ? rest.slice(0, colon) : rest;
  if (host.length > 255)
    return { problem: `a zone has at most 255 characters, not ${host.length}` };
  const range = host.includes("/") ? tryParsePrefix(host) : undefined;
  if (range === undefined && !isDomainName(host)) return { problem: `"${text}" is not a zone` };
  const zones =
    range === undefined ? [normalizeName(host)] : reverseZones(range.address, range.length);
  return port === undefined ? { zones } : { zones, port };
}

/** The zones that a plugin's arguments name, or those of its server block where there are none. */
export function originsOf(
  args: readonly string[],
  blockZones: readonly string[],
): readonly string[] {
  if (args.length === 0) return blockZones;
  // What is no zone is left out silently, as OriginsFromArgsOrServerBlock does.
  return args.flatMap((arg) => {
    const parsed = parseZone(arg);
    return "problem" in parsed ? [] : parsed.zones;
  });
}
