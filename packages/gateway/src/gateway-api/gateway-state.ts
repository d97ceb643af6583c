import {
  type Gateway,
  type GatewayCondition,
  type GatewayRoute,
  type ListenerSet,
  objectKey,
  type ParentReference,
  type RouteParentStatus,
} from "@cnilab/core";
import type { BackendProtocol } from "../routing/decision.ts";
import { type Attachment, attach, type Refusal } from "./attachment.ts";
import { BackendResolver, TlsPolicies, type UnresolvedRef } from "./backends.ts";
import { condition } from "./conditions.ts";
import type {
  GatewayControllerOptions,
  GatewayInput,
  GatewayObjectStatus,
  GatewayState,
} from "./gateway-input.ts";
import { GatewayRules, ServedListener } from "./gateway-rules.ts";
import { compileGrpcRoute, type GrpcMatch } from "./grpc-route-table.ts";
import { hostsOverlap } from "./host-intersection.ts";
import { compileHttpRoute, type HttpMatch } from "./http-route-table.ts";
import {
  admits,
  findConflicts,
  GatewayListener,
  type ListenerSurroundings,
  listenerKey,
} from "./listeners.ts";
import { byAge } from "./object-order.ts";
import { ReferenceGrants } from "./reference-grants.ts";
import { RouteRule, routeText } from "./route-rule.ts";
import { PatternError } from "./value-match.ts";

/** One Gateway of this controller, while its state is worked out. */
interface OwnGateway {
  readonly gateway: Gateway;
  readonly listeners: readonly GatewayListener[];
  /** Of ListenerSets that it lets in. */
  readonly sets: readonly OwnListenerSet[];
  readonly served: Map<GatewayListener, ServedListener>;
}

interface OwnListenerSet {
  readonly set: ListenerSet;
  readonly listeners: readonly GatewayListener[];
}

/** A route, compiled for whatever listener it attaches to. */
interface CompiledRoute {
  readonly route: GatewayRoute;
  readonly unresolved: readonly UnresolvedRef[];
  readonly unsupported: string | undefined;
  readonly http: readonly HttpMatch[];
  readonly grpc: readonly GrpcMatch[];
  readonly rules: readonly RouteRule[];
}

/** What speaks at the endpoints of a kind of route. */
const PROTOCOLS: Readonly<Record<string, BackendProtocol>> = {
  HTTPRoute: "HTTP",
  GRPCRoute: "GRPC",
  TLSRoute: "TLS",
  TCPRoute: "TCP",
  UDPRoute: "UDP",
};

/** Works out what a Gateway controller serves, and what it says of all objects. */
export function gatewayState(input: GatewayInput, options: GatewayControllerOptions): GatewayState {
  return new StateBuilder(input, options).build();
}

class StateBuilder {
  readonly #input: GatewayInput;
  readonly #options: GatewayControllerOptions;
  readonly #statuses = new Map<string, GatewayObjectStatus>();
  readonly #grants: ReferenceGrants;
  readonly #policies: TlsPolicies;
  readonly #resolver: BackendResolver;
  readonly #surroundings: ListenerSurroundings;
  readonly #gateways = new Map<string, OwnGateway>();
  /** By `Kind namespace/name` of the parent: the listeners that routes reach by it, and whose data plane they are in. */
  readonly #parents = new Map<
    string,
    { readonly listeners: readonly GatewayListener[]; readonly own: OwnGateway }
  >();

  constructor(input: GatewayInput, options: GatewayControllerOptions) {
    this.#input = input;
    this.#options = options;
    this.#grants = new ReferenceGrants(input.referenceGrants ?? []);
    this.#policies = new TlsPolicies(input.backendTlsPolicies ?? [], input.configMaps);
    const services = input.services && new Map(input.services.map((s) => [objectKey(s), s]));
    this.#resolver = new BackendResolver(services, this.#grants, this.#policies);
    this.#surroundings = {
      grants: this.#grants,
      secrets: input.secrets && new Map(input.secrets.map((s) => [objectKey(s), s])),
      namespaces: new Map((input.namespaces ?? []).map((n) => [n.metadata.name, n])),
    };
  }

  build(): GatewayState {
    this.#takeGateways();
    this.#attachRoutes();
    const gateways = new Map<string, GatewayRules>();
    for (const [key, own] of this.#gateways) {
      gateways.set(key, new GatewayRules([...own.served.values()]));
      this.#setGatewayStatus(own);
    }
    this.#setPolicyStatuses();
    return { gateways, statuses: this.#statuses };
  }

  // ---- Gateways and their listeners

  #takeGateways(): void {
    const classes = new Set<string>();
    for (const { metadata, spec } of this.#input.gatewayClasses) {
      if (spec.controllerName !== this.#options.controllerName) continue;
      const { name, generation } = metadata;
      const wrong =
        spec.parametersRef === undefined
          ? undefined
          : `there is no ${spec.parametersRef.kind} ${spec.parametersRef.name} for this controller`;
      if (wrong === undefined) classes.add(name);
      const accepted =
        wrong === undefined
          ? condition("Accepted", true, "Accepted", "the class is accepted", generation)
          : condition("Accepted", false, "InvalidParameters", wrong, generation);
      this.#statuses.set(`GatewayClass ${name}`, { conditions: [accepted] });
    }
    const setsByGateway = this.#setsByGateway();
    for (const gateway of this.#input.gateways) {
      if (!classes.has(gateway.spec.gatewayClassName)) continue;
      const key = objectKey(gateway);
      const listeners = this.#listenersOf(gateway);
      const allowed = (setsByGateway.get(key) ?? []).filter((set) => this.#lets(gateway, set));
      const sets = allowed.map((set) => ({ set, listeners: this.#listenersOf(set) }));
      findConflicts([listeners, ...sets.map((set) => set.listeners)]);
      const served = new Map<GatewayListener, ServedListener>();
      const fault = gatewayFault(gateway);
      for (const listener of [...listeners, ...sets.flatMap((set) => set.listeners)]) {
        if (listener.isServed && fault === undefined) {
          served.set(listener, new ServedListener(listener));
        }
      }
      const own = { gateway, listeners, sets, served };
      this.#gateways.set(key, own);
      this.#parents.set(listenerKey(gateway), { listeners, own });
      for (const each of sets) {
        this.#parents.set(listenerKey(each.set), { listeners: each.listeners, own });
      }
      for (const set of setsByGateway.get(key) ?? []) {
        if (!allowed.includes(set)) this.#refuseSet(set, gateway);
      }
    }
  }

  /** By the Gateway: its ListenerSets by precedence. */
  #setsByGateway(): ReadonlyMap<string, readonly ListenerSet[]> {
    const found = new Map<string, ListenerSet[]>();
    for (const set of [...(this.#input.listenerSets ?? [])].sort(byAge)) {
      const { name, namespace = set.metadata.namespace ?? "default" } = set.spec.parentRef;
      const key = `${namespace}/${name}`;
      found.set(key, [...(found.get(key) ?? []), set]);
    }
    return found;
  }

  #listenersOf(parent: Gateway | ListenerSet): GatewayListener[] {
    return parent.spec.listeners.map(
      (spec) => new GatewayListener(parent, spec, this.#surroundings),
    );
  }

  #lets(gateway: Gateway, set: ListenerSet): boolean {
    const { from = "None", selector } = gateway.spec.allowedListeners?.namespaces ?? {};
    const [own, other] = [gateway, set].map(({ metadata }) => metadata.namespace ?? "default");
    return admits(from, selector, other as string, own as string, this.#surroundings.namespaces);
  }

  #refuseSet(set: ListenerSet, gateway: Gateway): void {
    const { generation } = set.metadata;
    const message = `Gateway ${objectKey(gateway)} takes no ListenerSets of this namespace (allowedListeners)`;
    this.#statuses.set(listenerKey(set), {
      conditions: ["Accepted", "Programmed"].map((type) =>
        condition(type, false, "NotAllowed", message, generation),
      ),
    });
  }

  // ---- routes

  #attachRoutes(): void {
    const { httpRoutes, grpcRoutes, tlsRoutes, tcpRoutes, udpRoutes } = this.#input;
    const all: readonly GatewayRoute[] = [
      ...(httpRoutes ?? []),
      ...(grpcRoutes ?? []),
      ...(tlsRoutes ?? []),
      ...(tcpRoutes ?? []),
      ...(udpRoutes ?? []),
    ];
    /** By listener: the names that routes have there, to find those of two kinds that clash. */
    const names = new Map<
      GatewayListener,
      { kind: string; hostname: string; route: GatewayRoute }[]
    >();
    const bothKinds = (httpRoutes ?? []).length > 0 && (grpcRoutes ?? []).length > 0;
    for (const route of [...all].sort(byAge)) {
      const parents: RouteParentStatus[] = [];
      let compiled: CompiledRoute | undefined;
      for (const parent of route.spec.parentRefs ?? []) {
        const target = this.#parents.get(parentKey(parent, route));
        if (target === undefined) continue;
        compiled ??= this.#compile(route);
        const attachment = attach(route, parent, target.listeners);
        const refused =
          compiled.unsupported === undefined
            ? (attachment.refused ?? (bothKinds ? clash(route, attachment, names) : undefined))
            : { reason: "UnsupportedValue", message: compiled.unsupported };
        if (refused === undefined) place(compiled, attachment, target.own, names);
        parents.push(this.#parentStatus(route, parent, refused, compiled.unresolved));
      }
      if (parents.length === 0) continue;
      const others = (route.status?.parents ?? []).filter(
        ({ controllerName }) => controllerName !== this.#options.controllerName,
      );
      this.#statuses.set(routeText(route), { parents: [...others, ...parents] });
    }
  }

  #compile(route: GatewayRoute): CompiledRoute {
    const protocol = PROTOCOLS[route.kind] as BackendProtocol;
    const rules = (route.spec.rules ?? [{}]).map(
      (rule, i) => new RouteRule(route, i, rule, this.#resolver, protocol),
    );
    const unresolved = rules.flatMap((rule) => rule.unresolved);
    let unsupported = rules.find((rule) => rule.unsupported !== undefined)?.unsupported;
    let http: readonly HttpMatch[] = [];
    let grpc: readonly GrpcMatch[] = [];
    try {
      if (route.kind === "HTTPRoute") http = compileHttpRoute(route as never, rules);
      if (route.kind === "GRPCRoute") grpc = compileGrpcRoute(route as never, rules);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      unsupported ??= error.message;
    }
    return { route, unresolved, unsupported, http, grpc, rules };
  }

  #parentStatus(
    { metadata: { generation } }: GatewayRoute,
    parentRef: ParentReference,
    refused: Refusal | undefined,
    [lost]: readonly UnresolvedRef[],
  ): RouteParentStatus {
    const conditions = [
      refused === undefined
        ? condition("Accepted", true, "Accepted", "the route is accepted", generation)
        : condition("Accepted", false, refused.reason, refused.message, generation),
      lost === undefined
        ? condition("ResolvedRefs", true, "ResolvedRefs", "all references are found", generation)
        : condition("ResolvedRefs", false, lost.reason, lost.message, generation),
    ];
    return { parentRef, controllerName: this.#options.controllerName, conditions };
  }

  // ---- statuses

  #setGatewayStatus({ gateway, listeners, sets }: OwnGateway): void {
    const { generation } = gateway.metadata;
    const addresses = this.#options.addresses?.get(objectKey(gateway)) ?? [];
    const fault = gatewayFault(gateway);
    const pending = addresses.length === 0 ? "no address is assigned yet" : undefined;
    const good = listeners.filter(({ isAccepted }) => isAccepted);
    const bad = listeners.filter(({ isAccepted }) => !isAccepted).map(({ spec }) => spec.name);
    const setsAccepted = sets.filter((set) => set.listeners.some(({ isAccepted }) => isAccepted));
    const isAccepted = fault === undefined && (good.length > 0 || setsAccepted.length > 0);
    const accepted =
      fault ??
      (bad.length > 0
        ? {
            reason: "ListenersNotValid",
            message: `not accepted: ${bad.join(", ")}; accepted: ${good.map(({ spec }) => spec.name).join(", ") || "none"}`,
          }
        : { reason: "Accepted", message: "the Gateway is accepted" });
    const conditions: GatewayCondition[] = [
      condition("Accepted", isAccepted, accepted.reason, accepted.message, generation),
      programmed(gateway, isAccepted ? undefined : accepted.message, addresses, generation),
    ];
    this.#statuses.set(listenerKey(gateway), {
      addresses,
      conditions,
      listeners: listeners.map((listener) => listener.status(fault?.message ?? pending)),
      ...(setsAccepted.length > 0 && { attachedListenerSets: setsAccepted.length }),
    });
    for (const { set, listeners: ofSet } of sets) {
      const someAccepted = isAccepted && ofSet.some((listener) => listener.isAccepted);
      const allAccepted = ofSet.every((listener) => listener.isServed);
      const someServed = ofSet.some((listener) => listener.isServed);
      const reason = !isAccepted
        ? "ParentNotAccepted"
        : allAccepted
          ? "Accepted"
          : "ListenersNotValid";
      const message =
        reason === "Accepted" ? "all listeners are accepted" : "not all listeners are accepted";
      const works = someAccepted && someServed;
      const waits = works && pending !== undefined;
      this.#statuses.set(listenerKey(set), {
        conditions: [
          condition("Accepted", works, reason, message, set.metadata.generation),
          waits
            ? condition("Programmed", false, "Pending", pending, set.metadata.generation)
            : condition(
                "Programmed",
                works,
                works ? "Programmed" : reason,
                works ? "connections are taken" : message,
                set.metadata.generation,
              ),
        ],
        listeners: ofSet.map((listener) => listener.status(pending)),
      });
    }
  }

  /** A policy says of each Gateway whose routes lead to its target what became of it. */
  #setPolicyStatuses(): void {
    const own = [...this.#gateways.values()].map(({ gateway }) => gateway);
    for (const policy of this.#input.backendTlsPolicies ?? []) {
      const { generation, namespace = "default" } = policy.metadata;
      const fault = this.#policies.faults.get(objectKey(policy));
      const conflicted = fault?.reason === "Conflicted";
      const conditions = [
        fault === undefined
          ? condition("Accepted", true, "Accepted", "the policy is accepted", generation)
          : condition(
              "Accepted",
              false,
              conflicted ? "Conflicted" : "NoValidCACertificate",
              fault.message,
              generation,
            ),
        ...(conflicted
          ? []
          : [
              fault === undefined
                ? condition("ResolvedRefs", true, "ResolvedRefs", "all are found", generation)
                : condition("ResolvedRefs", false, fault.reason, fault.message, generation),
            ]),
      ];
      const ancestors = own.map((gateway) => ({
        ancestorRef: {
          group: "gateway.networking.k8s.io",
          kind: "Gateway",
          name: gateway.metadata.name,
          namespace: gateway.metadata.namespace ?? "default",
        },
        controllerName: this.#options.controllerName,
        conditions,
      }));
      if (ancestors.length === 0) continue;
      this.#statuses.set(`BackendTLSPolicy ${namespace}/${policy.metadata.name}`, { ancestors });
    }
  }
}

function parentKey(parent: ParentReference, route: GatewayRoute): string {
  const kind = parent.kind === "XListenerSet" ? "ListenerSet" : (parent.kind ?? "Gateway");
  const namespace = parent.namespace ?? route.metadata.namespace ?? "default";
  return `${kind} ${namespace}/${parent.name}`;
}

/** Puts a route onto the listeners that it attaches to. */
function place(
  { route, http, grpc, rules }: CompiledRoute,
  { at }: Attachment,
  { served }: OwnGateway,
  names: Map<GatewayListener, { kind: string; hostname: string; route: GatewayRoute }[]>,
): void {
  for (const { listener, hostnames } of at) {
    listener.attachedRoutes++;
    const there = names.get(listener) ?? [];
    for (const hostname of hostnames) there.push({ kind: route.kind, hostname, route });
    names.set(listener, there);
    const target = served.get(listener);
    if (target === undefined) continue;
    const [rule] = rules;
    const stream = rule && { backends: rule.backends, rule: rule.source };
    for (const hostname of hostnames) {
      for (const match of http) target.http.add(hostname, match);
      for (const match of grpc) target.grpc.add(hostname, match);
      if (route.kind !== "TLSRoute" || stream === undefined) continue;
      if (target.tls.get(hostname) === undefined) target.tls.set(hostname, stream);
    }
    // Routes come by age: the oldest has the port.
    if (route.kind === "TCPRoute" || route.kind === "UDPRoute") target.stream ??= stream;
  }
}

/** An HTTPRoute and a GRPCRoute cannot have one name of one listener (apis/v1/grpcroute_types.go GRPCRouteSpec.hostnames). */
function clash(
  route: GatewayRoute,
  { at }: Attachment,
  names: ReadonlyMap<
    GatewayListener,
    readonly { kind: string; hostname: string; route: GatewayRoute }[]
  >,
): Refusal | undefined {
  for (const { listener, hostnames } of at) {
    const other = names
      .get(listener)
      ?.find(
        ({ kind, hostname }) =>
          kind !== route.kind && hostnames.some((name) => hostsOverlap(name, hostname)),
      );
    if (other === undefined) continue;
    const message = `${routeText(other.route)} is older and has host ${other.hostname || "*"} of listener ${listener.spec.name}`;
    return { reason: "HostnameConflict", message };
  }
  return undefined;
}

/** What is wrong with a Gateway as a whole. */
function gatewayFault({ spec }: Gateway): Refusal | undefined {
  const parameters = spec.infrastructure?.parametersRef;
  if (parameters !== undefined) {
    const message = `there is no ${parameters.kind} ${parameters.name} for this controller`;
    return { reason: "InvalidParameters", message };
  }
  const strange = spec.addresses?.find(
    ({ type = "IPAddress" }) => type !== "IPAddress" && type !== "Hostname",
  );
  if (strange === undefined) return undefined;
  const message = `addresses of type ${strange.type} are not served; there are IPAddress, Hostname`;
  return { reason: "UnsupportedAddress", message };
}

function programmed(
  { spec }: Gateway,
  wrong: string | undefined,
  addresses: readonly { readonly value?: string }[],
  generation: number | undefined,
): GatewayCondition {
  if (wrong !== undefined) return condition("Programmed", false, "Invalid", wrong, generation);
  if (addresses.length === 0) {
    const message = "no address is assigned yet";
    return condition("Programmed", false, "AddressNotAssigned", message, generation);
  }
  const missing = spec.addresses?.find(
    ({ value = "" }) => value !== "" && !addresses.some((address) => address.value === value),
  );
  if (missing !== undefined) {
    const message = `address ${missing.value} cannot be had`;
    return condition("Programmed", false, "AddressNotUsable", message, generation);
  }
  return condition("Programmed", true, "Programmed", "connections are taken", generation);
}
