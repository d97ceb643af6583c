import {
  type Gateway,
  type GatewayCondition,
  type Listener,
  type ListenerSet,
  type ListenerStatus,
  type Namespace,
  objectKey,
  type RouteGroupKind,
  type Secret,
  selects,
} from "@cnilab/core";
import type { ServedCertificate } from "../routing/decision.ts";
import { tlsSecretUse } from "../routing/tls-secret-use.ts";
import { condition } from "./conditions.ts";
import { GATEWAY_GROUP } from "./group.ts";
import { hostsOverlap } from "./host-intersection.ts";
import type { ReferenceGrants } from "./reference-grants.ts";

/** What a listener can serve, by its protocol; the first kinds of routes are meant where none are named. */
const KINDS: Readonly<Record<string, readonly string[]>> = {
  HTTP: ["HTTPRoute", "GRPCRoute"],
  HTTPS: ["HTTPRoute", "GRPCRoute"],
  TLS: ["TLSRoute"],
  TCP: ["TCPRoute"],
  UDP: ["UDPRoute"],
};

/** What else a Gateway's listeners depend on. */
export interface ListenerSurroundings {
  readonly grants: ReferenceGrants;
  /** `undefined` where nobody knows them. */
  readonly secrets: ReadonlyMap<string, Secret> | undefined;
  readonly namespaces: ReadonlyMap<string, Namespace>;
}

/** One listener of a Gateway or of a ListenerSet, with all that is found out about it. */
export class GatewayListener {
  readonly parent: Gateway | ListenerSet;
  readonly spec: Listener;
  readonly hostname: string;
  readonly kinds: readonly string[];
  readonly certificates: readonly ServedCertificate[];
  /** Why it is in the way of another; "" for one that is not. */
  conflict: "" | "HostnameConflict" | "ProtocolConflict" = "";
  /** Another listener that ends TLS on the port, for some of the same names. */
  overlaps: GatewayListener | undefined;
  attachedRoutes = 0;
  readonly #surroundings: ListenerSurroundings;
  readonly #unresolved: { readonly reason: string; readonly message: string } | undefined;

  constructor(parent: Gateway | ListenerSet, spec: Listener, surroundings: ListenerSurroundings) {
    this.parent = parent;
    this.spec = spec;
    this.hostname = (spec.hostname ?? "").toLowerCase();
    this.#surroundings = surroundings;
    const possible = KINDS[spec.protocol] ?? [];
    const named = spec.allowedRoutes?.kinds ?? [];
    const isPossible = ({ group = GATEWAY_GROUP, kind }: RouteGroupKind): boolean =>
      group === GATEWAY_GROUP && possible.includes(kind);
    this.kinds = named.length === 0 ? possible : named.filter(isPossible).map(({ kind }) => kind);
    const impossible = named.find((kind) => !isPossible(kind));
    const { certificates, wrong } = this.#resolveCertificates();
    this.certificates = certificates;
    this.#unresolved =
      impossible === undefined
        ? wrong
        : {
            reason: "InvalidRouteKinds",
            message: `${impossible.kind} is no route for protocol ${spec.protocol}; there ${possible.length === 1 ? "is" : "are"} ${possible.join(", ") || "none"}`,
          };
  }

  get namespace(): string {
    return this.parent.metadata.namespace ?? "default";
  }

  get isSupported(): boolean {
    return this.spec.protocol in KINDS;
  }

  /** Whether routes can attach, even where nothing can be served yet. */
  get isAccepted(): boolean {
    return this.isSupported && this.conflict === "";
  }

  get terminatesTls(): boolean {
    return (
      this.spec.protocol === "HTTPS" ||
      (this.spec.protocol === "TLS" && this.spec.tls?.mode !== "Passthrough")
    );
  }

  /** Whether connections are taken. */
  get isServed(): boolean {
    if (!this.isAccepted || this.kinds.length === 0) return false;
    return !this.terminatesTls || this.certificates.length > 0;
  }

  admitsNamespace(namespace: string): boolean {
    const { from = "Same", selector } = this.spec.allowedRoutes?.namespaces ?? {};
    return admits(from, selector, namespace, this.namespace, this.#surroundings.namespaces);
  }

  /** @param pending why nothing can be reached yet, where that is so */
  status(pending: string | undefined): ListenerStatus {
    const { generation } = this.parent.metadata;
    const { protocol, name } = this.spec;
    const unsupported = this.isSupported
      ? undefined
      : `protocol ${protocol} is not served; there are ${Object.keys(KINDS).join(", ")}`;
    const conflict =
      this.conflict === "" ? undefined : `another listener has port ${this.spec.port} already`;
    const wrong = unsupported ?? conflict;
    const wrongReason = unsupported === undefined ? this.conflict : "UnsupportedProtocol";
    const conditions: GatewayCondition[] = [
      wrong === undefined
        ? condition("Accepted", true, "Accepted", "the listener is accepted", generation)
        : condition("Accepted", false, wrongReason, wrong, generation),
      this.conflict === ""
        ? condition(
            "Conflicted",
            false,
            "NoConflicts",
            "no other listener is in its way",
            generation,
          )
        : condition("Conflicted", true, this.conflict, conflict as string, generation),
      this.#unresolved === undefined
        ? condition("ResolvedRefs", true, "ResolvedRefs", "all references are found", generation)
        : condition(
            "ResolvedRefs",
            false,
            this.#unresolved.reason,
            this.#unresolved.message,
            generation,
          ),
      this.#programmed(wrong, pending),
      ...this.#overlapping(),
    ];
    return {
      name,
      supportedKinds: this.kinds.map((kind) => ({ group: GATEWAY_GROUP, kind })),
      attachedRoutes: this.attachedRoutes,
      conditions,
    };
  }

  /** Said only where it is so (apis/v1/gateway_types.go, ListenerConditionOverlappingTLSConfig). */
  #overlapping(): GatewayCondition[] {
    if (this.overlaps === undefined) return [];
    const { name, hostname } = this.overlaps.spec;
    const message = `listener ${name} has ${hostname ?? "every host name"}; requests for its names on this listener's connections get a 421`;
    const { generation } = this.parent.metadata;
    return [condition("OverlappingTLSConfig", true, "OverlappingHostnames", message, generation)];
  }

  #programmed(wrong: string | undefined, pending: string | undefined): GatewayCondition {
    const { generation } = this.parent.metadata;
    if (this.isServed) {
      return pending === undefined
        ? condition("Programmed", true, "Programmed", "connections are taken", generation)
        : condition("Programmed", false, "Pending", pending, generation);
    }
    const message = wrong ?? this.#unresolved?.message ?? "nothing can be served";
    return condition("Programmed", false, this.conflict || "Invalid", message, generation);
  }

  #resolveCertificates(): {
    readonly certificates: readonly ServedCertificate[];
    readonly wrong?: { readonly reason: string; readonly message: string };
  } {
    if (!this.terminatesTls) return { certificates: [] };
    const certificates: ServedCertificate[] = [];
    let wrong: { readonly reason: string; readonly message: string } | undefined;
    for (const { group = "", kind = "Secret", name, namespace } of this.spec.tls?.certificateRefs ??
      []) {
      const to = { group, kind, name, namespace: namespace ?? this.namespace };
      const key = `${to.namespace}/${name}`;
      const from = { group: GATEWAY_GROUP, kind: this.parent.kind, namespace: this.namespace };
      if (group !== "" || kind !== "Secret") {
        wrong ??= invalid(`${kind} ${key} is no Secret`);
      } else if (!this.#surroundings.grants.permits(from, to)) {
        wrong ??= {
          reason: "RefNotPermitted",
          message: `no ReferenceGrant in namespace ${to.namespace} lets ${this.parent.kind}s of ${this.namespace} use Secret ${name}`,
        };
      } else {
        const fault =
          this.#surroundings.secrets && tlsSecretUse(this.#surroundings.secrets.get(key)).fault;
        if (fault === undefined) {
          certificates.push({
            namespace: to.namespace,
            name,
            hosts: this.hostname === "" ? [] : [this.hostname],
          });
        } else wrong ??= invalid(`Secret ${key} ${fault}`);
      }
    }
    if (certificates.length === 0) wrong ??= invalid("no certificate is named");
    return wrong === undefined ? { certificates } : { certificates, wrong };
  }
}

function invalid(message: string): { readonly reason: string; readonly message: string } {
  return { reason: "InvalidCertificateRef", message };
}

/** Whether objects of a namespace may attach to something in another. */
export function admits(
  from: string,
  selector: Parameters<typeof selects>[0],
  namespace: string,
  own: string,
  namespaces: ReadonlyMap<string, Namespace>,
): boolean {
  switch (from) {
    case "All":
      return true;
    case "Same":
      return namespace === own;
    case "Selector":
      return selects(selector, namespaces.get(namespace)?.metadata.labels);
    default:
      return false;
  }
}

/**
 * Marks listeners that are in each other's way, or share names under TLS (apis/v1/gateway_types.go, "Distinct Listeners"): of one parent all of
 * them, of several parents those that come later.
 * @param parents listeners of the Gateway, then of each of its ListenerSets by precedence
 */
export function findConflicts(parents: readonly (readonly GatewayListener[])[]): void {
  const taken: GatewayListener[] = [];
  for (const listeners of parents) {
    const own = listeners.filter((listener) => listener.isSupported);
    for (const listener of own) {
      const others = [...taken, ...own.filter((other) => other !== listener)];
      for (const other of others) {
        const found = conflictBetween(listener.spec, other.spec);
        if (found !== "") listener.conflict = found;
        if (found === "ProtocolConflict") break;
      }
    }
    taken.push(...own.filter((listener) => listener.conflict === ""));
  }
  const ending = taken.filter((listener) => listener.terminatesTls);
  for (const listener of ending) {
    listener.overlaps = ending.find(
      (other) =>
        other !== listener &&
        other.spec.port === listener.spec.port &&
        hostsOverlap(other.hostname, listener.hostname),
    );
  }
}

function conflictBetween(x: Listener, y: Listener): GatewayListener["conflict"] {
  if (x.port !== y.port) return "";
  const sameHost = (x.hostname ?? "") === (y.hostname ?? "");
  if ((x.protocol === "UDP") !== (y.protocol === "UDP")) return "";
  if (x.protocol === y.protocol) return sameHost || x.protocol === "TCP" ? "HostnameConflict" : "";
  // Both are told apart by the server name in the client's hello.
  const byServerName = [x, y].every(({ protocol }) => protocol === "HTTPS" || protocol === "TLS");
  return byServerName && !sameHost ? "" : "ProtocolConflict";
}

export function listenerKey(parent: Gateway | ListenerSet): string {
  return `${parent.kind} ${objectKey(parent)}`;
}
