import type { EndpointSlice } from "@cnilab/core";
import { familyOf, formatIp, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";

/** Where connections to a service port can go (pkg/proxy/endpoint.go). */
export interface ProxyEndpoint {
  readonly address: IpAddress;
  /** The address as text. */
  readonly ip: string;
  readonly port: number;
  /** `ip:port`, `[ip]:port` for IPv6. */
  readonly text: string;
  readonly nodeName: string | undefined;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  /** Zones that should use it; `undefined` without hints. */
  readonly zoneHints: readonly string[] | undefined;
  readonly nodeHints: readonly string[] | undefined;
}

export const SERVICE_NAME = "kubernetes.io/service-name";
const HEADLESS = "service.kubernetes.io/headless";
const SERVICE_PROXY_NAME = "service.kubernetes.io/service-proxy-name";

/** The Service whose endpoints a slice lists, as `namespace/name`; `undefined` where kube-proxy does not look. */
export function serviceOfSlice(slice: EndpointSlice): string | undefined {
  const { labels, namespace = "default" } = slice.metadata;
  const name = labels?.[SERVICE_NAME];
  if (name === undefined || name === "") return undefined;
  if (labels?.[HEADLESS] !== undefined || labels?.[SERVICE_PROXY_NAME] !== undefined) {
    return undefined;
  }
  return `${namespace}/${name}`;
}

/**
 * The endpoints in a Service's slices, by `port name/protocol`, sorted by text. One that stands in
 * several slices counts once.
 */
export function endpointsByPort(
  slices: readonly EndpointSlice[],
  family: IpFamily,
): ReadonlyMap<string, readonly ProxyEndpoint[]> {
  const byPort = new Map<string, Map<string, ProxyEndpoint>>();
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? "IPv4" : "IPv6")) continue;
    for (const port of slice.ports ?? []) {
      if (port.port === undefined) continue;
      const key = endpointPortKey(port.name ?? "", port.protocol ?? "TCP");
      let endpoints = byPort.get(key);
      if (endpoints === undefined) {
        endpoints = new Map();
        byPort.set(key, endpoints);
      }
      for (const endpoint of slice.endpoints) {
        const address = tryParseIp(endpoint.addresses[0] ?? "");
        if (address === undefined || familyOf(address) !== family) continue;
        const ip = formatIp(address);
        const text = family === 4 ? `${ip}:${port.port}` : `[${ip}]:${port.port}`;
        const { ready, serving, terminating } = endpoint.conditions ?? {};
        endpoints.set(text, {
          address,
          ip,
          port: port.port,
          text,
          nodeName: endpoint.nodeName,
          ready: ready ?? true,
          serving: serving ?? true,
          terminating: terminating ?? false,
          zoneHints: names(endpoint.hints?.forZones),
          nodeHints: names(endpoint.hints?.forNodes),
        });
      }
    }
  }
  return new Map(
    [...byPort].map(([key, endpoints]) => [
      key,
      // By code unit, as Go compares strings.
      [...endpoints.values()].sort((x, y) => (x.text < y.text ? -1 : x.text > y.text ? 1 : 0)),
    ]),
  );
}

export function endpointPortKey(portName: string, protocol: string): string {
  return `${portName}/${protocol.toLowerCase()}`;
}

function names(hints: readonly { readonly name: string }[] | undefined): string[] | undefined {
  return hints === undefined || hints.length === 0 ? undefined : hints.map((h) => h.name);
}
