import type { EndpointSlice, Endpoints, Service } from "@cnilab/core";
import { age } from "./human-duration.ts";
import { labelsText } from "./selector-text.ts";

/** Characters of a load balancer's addresses unless the table is wide. */
const LOAD_BALANCER_WIDTH = 16;

export function serviceRow(service: Service, now: number, wide: boolean): string[] {
  const { spec, metadata } = service;
  return [
    metadata.name,
    spec.type ?? "ClusterIP",
    spec.clusterIPs?.[0] ?? spec.clusterIP ?? "<none>",
    externalIps(service, wide),
    portsText(service),
    age(metadata.creationTimestamp, now),
    labelsText(spec.selector),
  ];
}

/** printers.go `getServiceExternalIP`. */
function externalIps({ spec, status }: Service, wide: boolean): string {
  const external = spec.externalIPs ?? [];
  switch (spec.type) {
    case "ExternalName":
      return spec.externalName ?? "";
    case "LoadBalancer": {
      const given = (status?.loadBalancer?.ingress ?? []).flatMap((i) => i.ip ?? i.hostname ?? []);
      const all = [...new Set(given)].sort().join(",");
      const cut =
        !wide && all.length > LOAD_BALANCER_WIDTH
          ? `${all.slice(0, LOAD_BALANCER_WIDTH - 3)}...`
          : all;
      if (external.length > 0) return [...(cut === "" ? [] : [cut]), ...external].join(",");
      return cut === "" ? "<pending>" : cut;
    }
    default:
      return external.length > 0 ? external.join(",") : "<none>";
  }
}

function portsText({ spec }: Service): string {
  const ports = (spec.ports ?? []).map(({ port, nodePort, protocol = "TCP" }) =>
    nodePort === undefined ? `${port}/${protocol}` : `${port}:${nodePort}/${protocol}`,
  );
  return ports.length === 0 ? "<none>" : ports.join(",");
}

export function endpointSliceRow(slice: EndpointSlice, now: number): string[] {
  const ports = (slice.ports ?? []).map(({ port, name }) => String(port ?? name ?? "*"));
  return [
    slice.metadata.name,
    slice.addressType,
    listWithMore(ports),
    listWithMore(slice.endpoints.flatMap((e) => e.addresses)),
    age(slice.metadata.creationTimestamp, now),
  ];
}

/** The first three of a list. */
function listWithMore(list: readonly string[]): string {
  if (list.length === 0) return "<unset>";
  const shown = list.slice(0, 3).join(",");
  return list.length > 3 ? `${shown} + ${list.length - 3} more...` : shown;
}

export function endpointsRow(endpoints: Endpoints, now: number): string[] {
  const all = (endpoints.subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
    ports.length === 0
      ? addresses.map(({ ip }) => ip)
      : ports.flatMap(({ port }) =>
          addresses.map(({ ip }) => (ip.includes(":") ? `[${ip}]:${port}` : `${ip}:${port}`)),
        ),
  );
  const none = (endpoints.subsets ?? []).length === 0;
  const shown = all.slice(0, 3).join(",");
  const text = none ? "<none>" : all.length > 3 ? `${shown} + ${all.length - 3} more...` : shown;
  return [endpoints.metadata.name, text, age(endpoints.metadata.creationTimestamp, now)];
}
