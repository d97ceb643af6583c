import type { HttpConnection } from "@cnilab/cluster";
import {
  type ApiClient,
  formatOrigin,
  type Gateway,
  type GatewayRoute,
  isPolicyOrigin,
  objectKey,
  type ParentReference,
} from "@cnilab/core";
import {
  GATEWAY_CONTROLLER_NAME,
  gatewayInput,
  gatewayServices,
  gatewayState,
  type IngressFinding,
  ProxyReport,
  tlsSecretUse,
} from "@cnilab/gateway";
import { type Drop, HttpFailure, type HttpResponse, type SocketError } from "@cnilab/linux";
import {
  formatEndpoint,
  formatIp,
  type IpAddress,
  IpPacket,
  TcpSegment,
  UdpDatagram,
} from "@cnilab/net";
import { innermost, type NameOf } from "../trace/packet-text.ts";
import { serviceProblem } from "./asked-service.ts";
import type { AskedUrl } from "./asked-url.ts";
import { backendProblem } from "./backend-problem.ts";
import { carrying, doorListeners, failing, listenerFor } from "./gateway-listeners.ts";
import { covers } from "./host-pattern.ts";
import { IngressProblems } from "./ingress-problem.ts";
import { withoutAddress } from "./proxy-service.ts";

/**
 * Why a request came to nothing, in one line that names the object to mend; `undefined` where it was answered. An answer of a backend is one,
 * whatever its status; an error that a proxy on the way gave is none.
 */
export function httpProblem(
  api: ApiClient,
  asked: AskedUrl,
  connection: HttpConnection,
  nameOf: NameOf,
): string | undefined {
  const { outcome, failure } = connection;
  if (failure !== undefined || outcome === undefined) {
    const blocked = policyLine(connection.drops, nameOf);
    if (failure?.verdict !== "unresolved") return failure?.reason ?? "nothing was sent";
    return blocked ?? unservedHost(api, asked) ?? `${failure.reason}${withoutDoors(api, asked)}`;
  }
  const { result, drops } = outcome;
  if (result instanceof HttpFailure) {
    if (result.certificate !== undefined && result.stage === "tls") {
      return certificateLine(api, asked, connection, result);
    }
    const blocked = policyLine(drops, nameOf);
    return blocked ?? missingListener(api, asked, connection) ?? lossLine(result, drops);
  }
  const proxied = result.notes.findLast((note) => note instanceof ProxyReport);
  if (result.status < 400) return undefined;
  if (proxied === undefined) {
    const own = result.notes.length > 0 && result.status === 400;
    return own ? `${result.status}: ${result.body.trim()}` : undefined;
  }
  if (proxied.why === "") return undefined;
  return proxyLine(api, asked, connection, result, proxied, nameOf);
}

/** What is wrong with Ingresses, Gateways and routes by themselves, a line each: nobody serves them, or not all of them. */
export function doorProblems(api: ApiClient): string[] {
  const ingresses = new IngressProblems(api);
  const routes = ROUTES.flatMap((kind) =>
    (api.list(kind) as readonly GatewayRoute[]).map((route) => routeProblem(api, kind, route)),
  );
  const found = [
    ...api.list("Ingress").map((ingress) => ingresses.of(ingress)),
    ...api.list("Gateway").map((gateway) => gatewayProblem(api, gateway)),
    ...routes,
    ...[...ingresses.findings()].map(findingText),
  ];
  return [...new Set(found.filter((problem) => problem !== undefined))];
}

function findingText({ ingress, field, message }: IngressFinding): string {
  return `Ingress ${ingress.namespace}/${ingress.name} ${field}: ${message}`;
}

function proxyLine(
  api: ApiClient,
  asked: AskedUrl,
  { address, outcome }: HttpConnection,
  { status }: HttpResponse,
  proxied: ProxyReport,
  nameOf: NameOf,
): string {
  if (status >= 502 && status <= 504) {
    const blocked = policyLine(outcome?.drops ?? [], nameOf);
    if (blocked !== undefined) return `${status}: ${blocked}`;
  }
  if (status === 404) {
    const unserved = unservedHost(api, asked, address) ?? leftOut(api, asked);
    if (unserved !== undefined) return `404: ${unserved}`;
  }
  const { why, decision } = proxied;
  const backend = backendProblem(api, status, proxied);
  const rule =
    decision.rule === undefined
      ? ""
      : ` (${decision.rule.kind} ${decision.rule.namespace}/${decision.rule.name} ${decision.rule.field})`;
  return `${status}: ${why}${backend === undefined ? "" : `; ${backend}`}${rule}`;
}

/** A path of an Ingress that the controller says it does not serve. */
function leftOut(api: ApiClient, { host, path = "/" }: AskedUrl): string | undefined {
  for (const finding of new IngressProblems(api).findings()) {
    const [, i, j] = /^spec\.rules\[(\d+)\]\.http\.paths\[(\d+)\]/.exec(finding.field) ?? [];
    const { namespace, name } = finding.ingress;
    const rule = api.get("Ingress", `${namespace}/${name}`)?.spec.rules?.[Number(i)];
    if (rule?.host === undefined || !covers(rule.host, host, false)) continue;
    if (path.startsWith(rule.http?.paths[Number(j)]?.path ?? "/")) return findingText(finding);
  }
  return undefined;
}

// ---- packets that a policy dropped

/** The policy that dropped something, who was to speak to whom, and what would let it through. */
function policyLine(drops: readonly Drop[], nameOf: NameOf): string | undefined {
  const drop = drops.find(({ rule }) => isPolicyOrigin(rule?.origin));
  if (drop?.rule?.origin === undefined || !drop.skb.isIp) return undefined;
  const packet = innermost(drop.skb.ip);
  if (!(packet instanceof IpPacket)) return undefined;
  const { payload } = packet;
  const isStream = payload instanceof TcpSegment;
  const ports = isStream || payload instanceof UdpDatagram ? payload : undefined;
  const src = formatIp(packet.src);
  const dst =
    ports === undefined ? formatIp(packet.dst) : formatEndpoint(packet.dst, ports.dstPort);
  const from = nameOf(src) ?? src;
  const to = nameOf(formatIp(packet.dst)) ?? dst;
  const what =
    ports?.dstPort === 53 ? "DNS (port 53)" : `${isStream ? "TCP" : "UDP"} port ${ports?.dstPort}`;
  return `${formatOrigin(drop.rule.origin)} does not let ${from} (${src}) reach ${to} (${dst}): allow ${what} there`;
}

// ---- hosts that nobody serves

const ROUTES = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"] as const;

/**
 * The first thing that keeps the objects that have a host from serving it.
 * @param address of the door that answered; `undefined` where the name has no address
 */
function unservedHost(api: ApiClient, asked: AskedUrl, address?: IpAddress): string | undefined {
  const { host } = asked;
  const ingresses = new IngressProblems(api);
  const found: string[] = [];
  let known = false;
  const door = address === undefined ? undefined : gatewayAt(api, address);
  for (const ingress of api.list("Ingress")) {
    if (!(ingress.spec.rules ?? []).some((rule) => covers(rule.host, host, false))) continue;
    known = true;
    const problem = ingresses.of(ingress);
    if (problem !== undefined) found.push(problem);
  }
  for (const kind of ["HTTPRoute", "GRPCRoute", "TLSRoute"] as const) {
    for (const route of api.list(kind) as readonly GatewayRoute[]) {
      if (!(route.spec.hostnames ?? []).some((name) => covers(name, host, true))) continue;
      known = true;
      const problem = routeProblem(api, kind, route, asked, door);
      if (problem !== undefined) found.push(problem);
    }
  }
  for (const gateway of door === undefined ? api.list("Gateway") : [door]) {
    const listeners = doorListeners(api, gateway);
    if (!listeners.some(({ spec: { hostname } }) => covers(hostname, host, true))) continue;
    known = true;
    const problem = gatewayProblem(api, gateway, asked);
    if (problem !== undefined) found.push(problem);
  }
  if (found[0] !== undefined) return found[0];
  const isDoor = asked.outside || address !== undefined;
  if (known || !isDoor || !hasDoors(api)) return undefined;
  return `no Ingress, Gateway or route has the host ${host}${closest(api, host)}`;
}

function hasDoors(api: ApiClient): boolean {
  return api.list("Ingress").length > 0 || api.list("Gateway").length > 0;
}

/** What a name that the world does not know may be for. */
function withoutDoors(api: ApiClient, { outside }: AskedUrl): string {
  if (!outside || hasDoors(api)) return "";
  return "; the cluster has no Ingress and no Gateway, by which the world would know it";
}

/** What may have been meant, of what somebody serves. */
function closest(api: ApiClient, host: string): string {
  const ingresses = new IngressProblems(api);
  const served = api.list("Ingress").filter((ingress) => ingresses.of(ingress) === undefined);
  const hosts = new Set(
    served.flatMap(({ spec }) => (spec.rules ?? []).flatMap((r) => r.host ?? [])),
  );
  for (const kind of ["HTTPRoute", "GRPCRoute", "TLSRoute"] as const) {
    for (const route of api.list(kind) as readonly GatewayRoute[]) {
      const isTaken = route.status?.parents?.some(
        ({ conditions }) => failing(conditions, ["Accepted"]) === undefined,
      );
      for (const name of isTaken === true ? (route.spec.hostnames ?? []) : []) hosts.add(name);
    }
  }
  if (hosts.size === 0) return "";
  const shown = [...hosts].sort((x, y) => likeness(y, host) - likeness(x, host)).slice(0, 3);
  const more = hosts.size > shown.length ? " …" : "";
  return `; there is ${shown.join(", ")}${more}`;
}

/** Characters that two names have in common at their ends. */
function likeness(x: string, y: string): number {
  let same = 0;
  while (same < x.length && x.at(-1 - same) === y.at(-1 - same)) same++;
  return same;
}

/** @param asked what is to be served; anything where it is absent */
function gatewayProblem(api: ApiClient, gateway: Gateway, asked?: AskedUrl): string | undefined {
  const who = `Gateway ${objectKey(gateway)}`;
  const { gatewayClassName } = gateway.spec;
  const gatewayClass = api.get("GatewayClass", gatewayClassName);
  if (gatewayClass === undefined) {
    const names = api.list("GatewayClass").map(({ metadata }) => metadata.name);
    const there = names.length === 0 ? "there is none" : `there is ${names.join(", ")}`;
    return `${who} names GatewayClass ${gatewayClassName}, which is not there: create it, or set spec.gatewayClassName (${there})`;
  }
  const { controllerName } = gatewayClass.spec;
  if (controllerName !== GATEWAY_CONTROLLER_NAME) {
    return `${who}: GatewayClass ${gatewayClassName} is of controller ${controllerName}, which does not run here; cnilab's is ${GATEWAY_CONTROLLER_NAME}`;
  }
  const listeners = doorListeners(api, gateway);
  const wanted =
    asked === undefined
      ? listeners.find(({ problem }) => problem !== undefined)
      : listenerFor(carrying(listeners, asked), asked.host);
  if (wanted?.problem !== undefined) return wanted.problem;
  if ((gateway.status?.addresses ?? []).length > 0) return undefined;
  const bad = failing(gateway.status?.conditions, ["Accepted"]);
  if (bad !== undefined) return `${who}: ${bad}`;
  const service = gatewayServices(api).get(objectKey(gateway));
  const why = service === undefined ? "there is no Service for it" : withoutAddress(api, service);
  return `${who} has no address: ${why}`;
}

/**
 * @param asked what is to be routed; anything where it is absent
 * @param door the Gateway that was asked; any where it is absent
 */
function routeProblem(
  api: ApiClient,
  kind: string,
  route: GatewayRoute,
  asked?: AskedUrl,
  door?: Gateway,
): string | undefined {
  const who = `${kind} ${objectKey(route)}`;
  // A backend that is not found changes what is answered, not who answers.
  const types = asked === undefined ? ["Accepted", "ResolvedRefs"] : ["Accepted"];
  const isMeant = (parent: ParentReference): boolean => {
    const gateway = gatewayKey(api, parent, route);
    return door === undefined || gateway === undefined || gateway === objectKey(door);
  };
  for (const { parentRef, conditions } of route.status?.parents ?? []) {
    const bad = isMeant(parentRef) ? failing(conditions, types) : undefined;
    if (bad !== undefined) return `${who}: ${bad}`;
  }
  const parents = route.spec.parentRefs ?? [];
  for (const parent of parents.filter(isMeant)) {
    const key = gatewayKey(api, parent, route);
    if (key === undefined) continue;
    const gateway = api.get("Gateway", key);
    if (gateway === undefined)
      return `${who}: spec.parentRefs names Gateway ${key}, which is not there`;
    const problem = gatewayProblem(api, gateway, asked);
    if (problem !== undefined) return problem;
  }
  return parents.length === 0
    ? `${who} has no parentRefs: it is attached to no Gateway`
    : undefined;
}

/** The Gateway that a route's parent is, or is a part of. */
function gatewayKey(
  api: ApiClient,
  { kind = "Gateway", name, namespace }: ParentReference,
  { metadata }: Pick<GatewayRoute, "metadata">,
): string | undefined {
  const key = `${namespace ?? metadata.namespace}/${name}`;
  if (kind === "Gateway") return key;
  const set = kind === "ListenerSet" ? api.get("ListenerSet", key) : undefined;
  return set && gatewayKey(api, set.spec.parentRef, set);
}

function gatewayAt(api: ApiClient, address: IpAddress): Gateway | undefined {
  const ip = formatIp(address);
  return api
    .list("Gateway")
    .find(({ status }) => status?.addresses?.some(({ value }) => value === ip));
}

// ---- connections that nobody took

/** The address is a Gateway's or an Ingress controller's, and nobody there takes the connection. */
function missingListener(
  api: ApiClient,
  asked: AskedUrl,
  { address, outcome }: HttpConnection,
): string | undefined {
  if (address === undefined) return undefined;
  const gateway = gatewayAt(api, address);
  if (gateway !== undefined) return untakenConnection(api, gateway, asked);
  return serviceProblem(api, asked, address, outcome?.drops ?? []);
}

/** Why a Gateway does not take a connection, or does nothing with it. */
function untakenConnection(api: ApiClient, gateway: Gateway, asked: AskedUrl): string | undefined {
  const { scheme, host, port } = asked;
  const key = objectKey(gateway);
  const listeners = doorListeners(api, gateway);
  const onPort = listeners.filter(({ spec }) => spec.port === port);
  const able = carrying(onPort, asked);
  if (able.length === 0) {
    const has = (onPort.length > 0 ? onPort : listeners).map(
      ({ spec }) => `${spec.name} ${spec.port} (${spec.protocol})`,
    );
    return `Gateway ${key} has no listener on port ${port} for ${scheme}; it has ${has.join(", ")}`;
  }
  const listener = listenerFor(able, host);
  if (listener === undefined) {
    const has = able.map(({ spec }) => `${spec.name} for ${spec.hostname}`).join(", ");
    return `Gateway ${key} has no listener on port ${port} for ${host}; it has ${has}`;
  }
  if (listener.problem !== undefined) return listener.problem;
  const controllerName = GATEWAY_CONTROLLER_NAME;
  const rules = gatewayState(gatewayInput(api), { controllerName }).gateways.get(key);
  const decision = rules?.routeConnection({
    protocol: "TCP",
    port,
    ...(scheme === "https" && { tls: { serverName: host } }),
  });
  return decision?.action === "reset" ? decision.why : undefined;
}

/** Who was to show a certificate for the host, and what is wrong with it. */
function certificateLine(
  api: ApiClient,
  asked: AskedUrl,
  { address }: HttpConnection,
  { message }: HttpFailure,
): string {
  const { host } = asked;
  const fault = (key: string): string => {
    const { fault: why, names } = tlsSecretUse(api.get("Secret", key));
    return why ?? `is for ${names.join(", ") || "no name"}`;
  };
  const gateway = address === undefined ? undefined : gatewayAt(api, address);
  if (gateway !== undefined) {
    const listeners = carrying(doorListeners(api, gateway), asked);
    // The one that has the host may not be served; another one's certificate is shown then.
    const listener = listenerFor(listeners, host);
    if (listener?.problem !== undefined) return `${listener.problem}; ${message}`;
    if (listener === undefined) return message;
    const refs = listener.spec.tls?.certificateRefs ?? [];
    const secrets = refs.map((ref) => `${ref.namespace ?? listener.namespace}/${ref.name}`);
    const why = secrets.map((key) => `Secret ${key} ${fault(key)}`).join(", ");
    return `${listener.text}: ${why}, and ${host} needs a certificate of its own; ${message}`;
  }
  for (const ingress of api.list("Ingress")) {
    for (const [i, { hosts = [], secretName }] of (ingress.spec.tls ?? []).entries()) {
      if (!hosts.some((name) => covers(name, host, false))) continue;
      const who = `Ingress ${objectKey(ingress)} spec.tls[${i}]`;
      if (secretName === undefined) return `${who} names no Secret for ${host}: ${message}`;
      const key = `${ingress.metadata.namespace}/${secretName}`;
      const why = fault(key);
      return `${who}: Secret ${key} ${why}, and ${host} needs a certificate of its own; ${message}`;
    }
  }
  const ingress = api
    .list("Ingress")
    .find(({ spec }) => (spec.rules ?? []).some((rule) => covers(rule.host, host, false)));
  if (ingress !== undefined) {
    return `Ingress ${objectKey(ingress)} has no spec.tls for ${host}; ${message}`;
  }
  return message;
}

function lossLine(failure: HttpFailure, drops: readonly Drop[]): string {
  const drop = drops.find(({ reason }) => reason !== "NO_SOCKET") ?? drops.at(-1);
  if (drop === undefined || refused(failure.error)) return failure.message;
  const { netns, dev, detail, reason, rule } = drop;
  const at = dev === undefined ? `${netns}` : `${netns}/${dev.name}`;
  if (rule !== undefined) {
    const cause = rule.origin === undefined ? "" : ` of ${formatOrigin(rule.origin)}`;
    return `${failure.message}: dropped at ${at} by ${rule.location}${cause}: ${rule.text}`;
  }
  return `${failure.message}: dropped at ${at}: ${reason}${detail === "" ? "" : ` (${detail})`}`;
}

function refused(error: SocketError | undefined): boolean {
  return error?.errno === "ECONNREFUSED";
}
