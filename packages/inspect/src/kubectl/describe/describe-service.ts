import type { EndpointSlice, Ingress, IngressBackend, Service } from "@cnilab/core";
import { labelsText } from "../selector-text.ts";
import type { Description } from "./description.ts";
import type { RelatedObjects } from "./related-objects.ts";

/** Endpoints that are shown of a port. */
const SHOWN = 3;

/** `kubectl describe service` (pkg/describe `describeService`). */
export function describeService(to: Description, service: Service, related: RelatedObjects): void {
  const { metadata, spec, status } = service;
  to.head(service);
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.field("Selector", labelsText(spec.selector));
  to.field("Type", spec.type ?? "ClusterIP");
  if (spec.ipFamilyPolicy) to.field("IP Family Policy", spec.ipFamilyPolicy);
  to.field("IP Families", spec.ipFamilies?.join(",") || "<none>");
  to.field("IP", spec.clusterIP ?? "");
  to.field("IPs", spec.clusterIPs?.join(",") || "<none>");
  if (spec.externalIPs?.length) to.field("External IPs", spec.externalIPs.join(","));
  if (spec.loadBalancerIP) to.field("Desired LoadBalancer IP", spec.loadBalancerIP);
  if (spec.externalName) to.field("External Name", spec.externalName);
  const ingress = (status?.loadBalancer?.ingress ?? []).map(({ ip, ipMode, hostname = "" }) =>
    ip ? `${ip}${ipMode ? ` (${ipMode})` : ""}` : hostname,
  );
  if (ingress.length > 0) to.field("LoadBalancer Ingress", ingress.join(", "));
  const slices = related.slicesOf(service);
  for (const { name, port, protocol = "TCP", targetPort, appProtocol, nodePort } of spec.ports ??
    []) {
    const shown = name || "<unset>";
    to.field("Port", `${shown}\t${port}/${protocol}`);
    to.field("TargetPort", `${targetPort ?? port}/${protocol}`);
    if (appProtocol) to.field("AppProtocol", appProtocol);
    if (nodePort) to.field("NodePort", `${shown}\t${nodePort}/${protocol}`);
    to.field("Endpoints", endpointsText(slices, name ?? ""));
  }
  to.field("Session Affinity", spec.sessionAffinity ?? "None");
  if (spec.externalTrafficPolicy) to.field("External Traffic Policy", spec.externalTrafficPolicy);
  if (spec.internalTrafficPolicy) to.field("Internal Traffic Policy", spec.internalTrafficPolicy);
  if (spec.healthCheckNodePort) to.field("HealthCheck NodePort", spec.healthCheckNodePort);
  const ranges = spec.loadBalancerSourceRanges ?? [];
  if (ranges.length > 0) to.field("LoadBalancer Source Ranges", ranges.join(","));
  if (spec.trafficDistribution) to.field("Traffic Distribution", spec.trafficDistribution);
}

/** Ready endpoints of a port, the first few of them (`formatEndpointSlices`). */
function endpointsText(slices: readonly EndpointSlice[], portName: string): string {
  if (slices.length === 0) return "<none>";
  const all = slices.flatMap(({ ports = [], endpoints }) => {
    const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false);
    const addresses = ready.map(({ addresses: [first = ""] }) => first);
    if (ports.length === 0) return addresses;
    return ports
      .filter(({ name = "" }) => name === portName)
      .flatMap(({ port }) => addresses.map((address) => `${bracketed(address)}:${port ?? ""}`));
  });
  const text = all.slice(0, SHOWN).join(",");
  return all.length > SHOWN ? `${text} + ${all.length - SHOWN} more...` : text;
}

function bracketed(address: string): string {
  return address.includes(":") ? `[${address}]` : address;
}

/** `kubectl describe endpointslice` (`describeEndpointSliceV1`). */
export function describeEndpointSlice(to: Description, slice: EndpointSlice): void {
  const { metadata, addressType, ports = [], endpoints } = slice;
  to.head(slice);
  to.labels("Labels", metadata.labels);
  to.annotations("Annotations", metadata.annotations);
  to.field("AddressType", addressType);
  if (ports.length === 0) to.line(0, "Ports: <unset>");
  else {
    to.line(0, "Ports:");
    to.line(1, "Name\tPort\tProtocol");
    to.line(1, "----\t----\t--------");
    for (const { name, port, protocol = "TCP" } of ports)
      to.line(1, `${name || "<unset>"}\t${port ?? "<unset>"}\t${protocol}`);
  }
  to.line(0, endpoints.length === 0 ? "Endpoints: <none>" : "Endpoints:");
  for (const { addresses, conditions, hostname, targetRef, nodeName, zone } of endpoints) {
    to.line(1, `- Addresses:\t${addresses.join(", ") || "<none>"}`);
    to.line(2, "Conditions:");
    to.line(3, `Ready:\t${conditions?.ready ?? "<unset>"}`);
    to.line(2, `Hostname:\t${hostname ?? "<unset>"}`);
    if (targetRef) to.line(2, `TargetRef:\t${targetRef.kind}/${targetRef.name}`);
    to.line(2, `NodeName:\t${nodeName ?? "<unset>"}`);
    to.line(2, `Zone:\t${zone ?? "<unset>"}`);
  }
}

/** `kubectl describe ingress` (`describeIngressV1`). */
export function describeIngress(to: Description, ingress: Ingress, related: RelatedObjects): void {
  const { metadata, spec, status } = ingress;
  const namespace = metadata.namespace ?? "default";
  const backend = (each: IngressBackend): string => backendText(each, namespace, related);
  to.field("Name", metadata.name);
  to.labels("Labels", metadata.labels);
  to.field("Namespace", namespace);
  const addresses = (status?.loadBalancer?.ingress ?? []).flatMap(
    ({ ip, hostname }) => ip || hostname || [],
  );
  to.field("Address", [...new Set(addresses)].sort().join(","));
  to.field("Ingress Class", spec.ingressClassName ?? "<none>");
  const byDefault = spec.defaultBackend === undefined ? "<default>" : backend(spec.defaultBackend);
  to.field("Default backend", byDefault);
  if (spec.tls?.length) to.line(0, "TLS:");
  for (const { secretName, hosts = [] } of spec.tls ?? []) {
    const text = secretName ? `${secretName} terminates` : "SNI routes";
    to.line(1, `${text} ${hosts.join(",")}`);
  }
  to.line(0, "Rules:");
  to.line(1, "Host\tPath\tBackends");
  to.line(1, "----\t----\t--------");
  const rules = (spec.rules ?? []).filter(({ http }) => http !== undefined);
  for (const { host, http } of rules) {
    to.line(1, `${host || "*"}\t`);
    for (const each of http?.paths ?? [])
      to.line(2, `\t${each.path ?? ""} \t${backend(each.backend)}`);
  }
  if (rules.length === 0) to.line(1, `*\t*\t${byDefault}`);
  to.annotations("Annotations", metadata.annotations);
}

function backendText(
  { service, resource }: IngressBackend,
  namespace: string,
  related: RelatedObjects,
): string {
  if (service !== undefined) {
    const { name, port } = service;
    const text = `${name}:${port?.number || (port?.name ?? "")}`;
    const found = related.get("Service", `${namespace}/${name}`);
    if (found === undefined) return `${text} (<error: services "${name}" not found>)`;
    const own = found.spec.ports?.find((each) =>
      port?.number ? each.port === port.number : each.name === port?.name,
    );
    return `${text} (${endpointsText(related.slicesOf(found), own?.name ?? "")})`;
  }
  if (resource === undefined) return "";
  return `APIGroup: ${resource.apiGroup ?? "<none>"}, Kind: ${resource.kind}, Name: ${resource.name}`;
}
