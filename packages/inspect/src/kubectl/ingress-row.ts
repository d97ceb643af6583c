import type {
  Gateway,
  GatewayClass,
  GatewayCondition,
  GRPCRoute,
  HTTPRoute,
  Ingress,
  IngressClass,
  Secret,
} from "@cnilab/core";
import { age } from "./human-duration.ts";

/** Characters of an Ingress's hosts and addresses unless the table is wide. */
const ADDRESS_WIDTH = 16;
const HOSTS = 3;

/** printers.go `printIngress`. */
export function ingressRow(
  { metadata, spec, status }: Ingress,
  now: number,
  wide: boolean,
): string[] {
  return [
    metadata.name,
    spec.ingressClassName ?? "<none>",
    hostsText(spec.rules ?? []),
    addressText(status, wide),
    (spec.tls ?? []).length > 0 ? "80, 443" : "80",
    age(metadata.creationTimestamp, now),
  ];
}

/** printers.go `formatHosts`: the first three that are named, and how many rules there are beyond three. */
function hostsText(rules: NonNullable<Ingress["spec"]["rules"]>): string {
  const named: string[] = [];
  let more = false;
  for (const { host = "" } of rules) {
    more ||= named.length === HOSTS;
    if (!more && host !== "") named.push(host);
  }
  if (named.length === 0) return "*";
  return more ? `${named.join(",")} + ${rules.length - HOSTS} more...` : named.join(",");
}

/** printers.go `ingressLoadBalancerStatusStringer`. */
function addressText(status: Ingress["status"], wide: boolean): string {
  const given = (status?.loadBalancer?.ingress ?? []).flatMap(
    ({ ip, hostname }) => ip ?? hostname ?? [],
  );
  const all = [...new Set(given)].sort().join(",");
  return !wide && all.length > ADDRESS_WIDTH ? `${all.slice(0, ADDRESS_WIDTH - 3)}...` : all;
}

/** printers.go `printIngressClass`. */
export function ingressClassRow({ metadata, spec }: IngressClass, now: number): string[] {
  const { parameters } = spec ?? {};
  const kind = parameters?.kind ?? "";
  const group = parameters?.apiGroup === undefined ? "" : `.${parameters.apiGroup}`;
  return [
    metadata.name,
    spec?.controller ?? "",
    parameters === undefined ? "<none>" : `${kind}${group}/${parameters.name}`,
    age(metadata.creationTimestamp, now),
  ];
}

/** printers.go `printSecret`. */
export function secretRow(
  { metadata, type = "Opaque", data, stringData }: Secret,
  now: number,
): string[] {
  const keys = Object.keys({ ...data, ...stringData });
  return [metadata.name, type, String(keys.length), age(metadata.creationTimestamp, now)];
}

// The columns of the Gateway API's CustomResourceDefinitions (v1.6.1, apis/v1, printcolumn markers).

export function gatewayClassRow({ metadata, spec, status }: GatewayClass, now: number): string[] {
  return [
    metadata.name,
    spec.controllerName,
    conditionText(status?.conditions, "Accepted"),
    age(metadata.creationTimestamp, now),
    spec.description ?? "",
  ];
}

export function gatewayRow({ metadata, spec, status }: Gateway, now: number): string[] {
  return [
    metadata.name,
    spec.gatewayClassName,
    // Of a JSONPath that finds several values the table shows the first.
    status?.addresses?.[0]?.value ?? "",
    conditionText(status?.conditions, "Programmed"),
    age(metadata.creationTimestamp, now),
  ];
}

export function listenerSetRow(
  { metadata, status }: Pick<GatewayClass, "metadata" | "status">,
  now: number,
): string[] {
  return [
    metadata.name,
    conditionText(status?.conditions, "Accepted"),
    conditionText(status?.conditions, "Programmed"),
    age(metadata.creationTimestamp, now),
  ];
}

/** A list is shown as JSON. */
export function namedRouteRow({ metadata, spec }: HTTPRoute | GRPCRoute, now: number): string[] {
  const names = spec.hostnames === undefined ? "" : JSON.stringify(spec.hostnames);
  return [metadata.name, names, age(metadata.creationTimestamp, now)];
}

function conditionText(conditions: readonly GatewayCondition[] | undefined, type: string): string {
  return conditions?.find((condition) => condition.type === type)?.status ?? "";
}
