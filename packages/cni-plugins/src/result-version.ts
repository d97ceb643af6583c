import type { CniDns, CniInterface, CniIp, CniResult } from "@cnilab/core";
import { versionAtLeast } from "./spec-version.ts";

/** The version in which the plugins here build their results. */
export const CURRENT_VERSION = "1.1.0";

/**
 * A result in the form of another version of the specification (containernetworking/cni pkg/types/100).
 * Up to 0.4.0 addresses carry their family, interfaces have three fields, and `dns` is always there.
 */
export function asVersion(result: CniResult, version: string): CniResult {
  if (result.cniVersion === version) return result;
  if (versionAtLeast(version, "1.0.0")) return toCurrent(result, version);
  return to04x(result, version);
}

function toCurrent(result: CniResult, cniVersion: string): CniResult {
  return {
    cniVersion,
    ...(hasSome(result.interfaces) && { interfaces: result.interfaces }),
    ...(hasSome(result.ips) && { ips: result.ips.map(withoutFamily) }),
    ...(hasSome(result.routes) && { routes: result.routes }),
    ...(isDnsSet(result.dns) && { dns: result.dns }),
  };
}

function to04x(result: CniResult, cniVersion: string): CniResult {
  return {
    cniVersion,
    ...(hasSome(result.interfaces) && { interfaces: result.interfaces.map(threeFields) }),
    ...(hasSome(result.ips) && { ips: result.ips.map(withFamily) }),
    ...(hasSome(result.routes) && { routes: result.routes }),
    dns: result.dns ?? NO_DNS,
  };
}

const NO_DNS: CniDns = {};

/** Whether a `dns` section says anything (`types.DNS.IsEmpty`). */
export function isDnsSet(dns: CniDns | undefined): dns is CniDns {
  return (
    dns !== undefined &&
    (hasSome(dns.nameservers) || !!dns.domain || hasSome(dns.search) || hasSome(dns.options))
  );
}

function hasSome<T>(list: readonly T[] | undefined): list is readonly T[] {
  return list !== undefined && list.length > 0;
}

function withoutFamily(ip: CniIp): CniIp {
  if (ip.version === undefined) return ip;
  const { version: _, ...rest } = ip;
  return rest;
}

function withFamily(ip: CniIp): CniIp {
  return ip.version === undefined ? { version: ip.address.includes(":") ? "6" : "4", ...ip } : ip;
}

function threeFields(whole: CniInterface): CniInterface {
  const { name, mac, sandbox, mtu, socketPath, pciID } = whole;
  const hasMore = mtu !== undefined || socketPath !== undefined || pciID !== undefined;
  if (!hasMore && mac !== "" && sandbox !== "") return whole;
  return { name, ...(mac && { mac }), ...(sandbox && { sandbox }) };
}
