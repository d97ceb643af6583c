import type { Service } from "@cnilab/core";
import { familyOf, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";
import { AddressPoolError } from "./address-pools.ts";

/** What a Service asks for. */
export interface RequestedAddresses {
  readonly families: readonly IpFamily[];
  /** Addresses that it wants; empty for any. */
  readonly addresses: readonly IpAddress[];
  readonly pool: string | undefined;
}

/** MetalLB's annotations (controller/service.go), by their present and by their older prefix. */
const PREFIXES = ["metallb.io", "metallb.universe.tf"];

/**
 * Reads `spec.loadBalancerIP` and MetalLB's annotations, which the cloud here knows as well: clouds have one each of their
 * own.
 * @throws AddressPoolError for what is no address, or does not fit the Service's families
 */
export function requestedAddresses(service: Service): RequestedAddresses {
  const { ipFamilies = ["IPv4"], loadBalancerIP } = service.spec;
  const families = ipFamilies.map((family): IpFamily => (family === "IPv4" ? 4 : 6));
  const annotated = annotation(service, "loadBalancerIPs");
  if (annotated !== undefined && given(loadBalancerIP)) {
    throw new AddressPoolError(
      "service can not have both metallb.io/loadBalancerIPs and svc.Spec.LoadBalancerIP",
    );
  }
  const text = annotated ?? loadBalancerIP ?? "";
  const addresses = text === "" ? [] : text.split(",").map((part) => parse(part.trim(), text));
  if (addresses.length > 0 && !sameFamilies(addresses, families)) {
    throw new AddressPoolError(
      `requested loadBalancer IP(s) "${text}" does not match the ipFamily of the service`,
    );
  }
  return { families, addresses, pool: annotation(service, "address-pool") };
}

function annotation({ metadata }: Service, name: string): string | undefined {
  return PREFIXES.map((prefix) => metadata.annotations?.[`${prefix}/${name}`]).find(given);
}

function given(text: string | undefined): text is string {
  return text !== undefined && text !== "";
}

function parse(part: string, text: string): IpAddress {
  const address = tryParseIp(part);
  if (address === undefined) throw new AddressPoolError(`invalid loadBalancer IP(s) "${text}"`);
  return address;
}

function sameFamilies(addresses: readonly IpAddress[], families: readonly IpFamily[]): boolean {
  const of = addresses.map(familyOf);
  return of.length === families.length && families.every((family) => of.includes(family));
}
