import type { Endpoint, EndpointSlice } from "@cnilab/core";
import {
  familyOf,
  formatEndpoint,
  formatIp,
  type IpAddress,
  type IpFamily,
  tryParseIp,
} from "@cnilab/net";
import { SERVICE_PROXY_NAME } from "./service-port.ts";

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
  /** By node, what kube-proxy there takes it for; only where several slices say different things of it. */
  readonly byNode?: ReadonlyMap<string, ProxyEndpoint>;
}

export const SERVICE_NAME = "kubernetes.io/service-name";
const HEADLESS = "service.kubernetes.io/headless";

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
      for (const each of slice.endpoints) {
        const endpoint = proxyEndpoint(each, port.port, family);
        if (endpoint === undefined) continue;
        const known = endpoints.get(endpoint.text);
        endpoints.set(endpoint.text, known === undefined ? endpoint : joined(known, endpoint));
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

/** The first one counts, but on its own node the last (pkg/proxy/endpointslicecache.go `addEndpoints`). */
function joined(first: ProxyEndpoint, again: ProxyEndpoint): ProxyEndpoint {
  const { nodeName } = again;
  if (nodeName === undefined || sameJudgement(first, again)) return first;
  return { ...first, byNode: new Map([...(first.byNode ?? []), [nodeName, again]]) };
}

function sameJudgement(x: ProxyEndpoint, y: ProxyEndpoint): boolean {
  const of = (e: ProxyEndpoint) =>
    JSON.stringify([e.nodeName, e.ready, e.serving, e.terminating, e.zoneHints, e.nodeHints]);
  return x.byNode === undefined && of(x) === of(y);
}

/** `undefined` for one without an address of the family. Absent conditions mean a ready one. */
function proxyEndpoint(
  endpoint: Endpoint,
  port: number,
  family: IpFamily,
): ProxyEndpoint | undefined {
  const address = tryParseIp(endpoint.addresses[0] ?? "");
  if (address === undefined || familyOf(address) !== family) return undefined;
  const { ready, serving, terminating } = endpoint.conditions ?? {};
  return {
    address,
    ip: formatIp(address),
    port,
    text: formatEndpoint(address, port),
    nodeName: endpoint.nodeName,
    ready: ready ?? true,
    serving: serving ?? true,
    terminating: terminating ?? false,
    zoneHints: names(endpoint.hints?.forZones),
    nodeHints: names(endpoint.hints?.forNodes),
  };
}

export function endpointPortKey(portName: string, protocol: string): string {
  return `${portName}/${protocol.toLowerCase()}`;
}

function names(hints: readonly { readonly name: string }[] | undefined): string[] | undefined {
  return hints === undefined || hints.length === 0 ? undefined : hints.map((h) => h.name);
}
