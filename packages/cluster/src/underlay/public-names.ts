import {
  type ApiClient,
  type Gateway,
  type GatewayRoute,
  type Ingress,
  type Kind,
  objectKey,
  type ParentReference,
  type Service,
} from "@cnilab/core";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import { Subscription } from "rxjs";

/** A name that the world outside knows. */
export interface PublicName {
  /** In lower case; `*.` in front stands for any labels. */
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  /** Who has it, as `Ingress shop/web`. */
  readonly holder: string;
}

const ROUTES = ["HTTPRoute", "GRPCRoute", "TLSRoute"] as const;
const KINDS = ["Ingress", "Gateway", "ListenerSet", "Service", ...ROUTES] as const;
const HOSTNAME_ANNOTATION = "external-dns.alpha.kubernetes.io/hostname";

/**
 * The zone of the world's DNS that leads into the cluster, as ExternalDNS keeps it: hosts of Ingresses, Gateways' listeners and routes, each
 * with the address in the status of its object. A host whose object has no address has no name.
 */
export class PublicNames {
  readonly #api: ApiClient;
  readonly #subscription = new Subscription();
  #names: ReadonlyMap<string, PublicName> | undefined;

  constructor(api: ApiClient) {
    this.#api = api;
    for (const kind of KINDS as readonly Kind[]) {
      this.#subscription.add(
        api.snapshots(kind).subscribe(() => {
          this.#names = undefined;
        }),
      );
    }
  }

  close(): void {
    this.#subscription.unsubscribe();
  }

  get all(): Iterable<PublicName> {
    return this.#index.values();
  }

  /** The name itself, or the closest wildcard above it (RFC 4592). */
  find(name: string): PublicName | undefined {
    const names = this.#index;
    const wanted = name.toLowerCase().replace(/\.$/, "");
    const exact = names.get(wanted);
    if (exact !== undefined) return exact;
    for (let dot = wanted.indexOf("."); dot >= 0; dot = wanted.indexOf(".", dot + 1)) {
      const wildcard = names.get(`*${wanted.slice(dot)}`);
      if (wildcard !== undefined) return wildcard;
    }
    return undefined;
  }

  get #index(): ReadonlyMap<string, PublicName> {
    this.#names ??= this.#collect();
    return this.#names;
  }

  #collect(): ReadonlyMap<string, PublicName> {
    const names = new Map<string, PublicName>();
    const add = (hosts: Iterable<string>, addresses: readonly IpAddress[], holder: string) => {
      if (addresses.length === 0) return;
      for (const host of hosts) {
        const name = host.toLowerCase();
        if (name !== "" && !names.has(name)) names.set(name, { name, addresses, holder });
      }
    };
    for (const ingress of this.#api.list("Ingress")) {
      add(hostsOf(ingress), ingressAddresses(ingress), `Ingress ${objectKey(ingress)}`);
    }
    for (const gateway of this.#api.list("Gateway")) {
      const hosts = gateway.spec.listeners.flatMap(({ hostname }) => hostname ?? []);
      add(hosts, gatewayAddresses(gateway), `Gateway ${objectKey(gateway)}`);
    }
    for (const kind of ROUTES) {
      for (const route of this.#api.list(kind) as readonly GatewayRoute[]) {
        const addresses = this.#routeAddresses(route);
        add(route.spec.hostnames ?? [], addresses, `${kind} ${objectKey(route)}`);
      }
    }
    for (const service of this.#api.list("Service")) {
      const hosts = service.metadata.annotations?.[HOSTNAME_ANNOTATION]?.split(",") ?? [];
      const given = hosts.map((host) => host.trim());
      add(given, serviceAddresses(service), `Service ${objectKey(service)}`);
    }
    return names;
  }

  /** Those of all Gateways that have taken the route. */
  #routeAddresses({ metadata, status }: GatewayRoute): IpAddress[] {
    const accepted = (status?.parents ?? []).filter(({ conditions }) =>
      conditions.some(({ type, status: is }) => type === "Accepted" && is === "True"),
    );
    const found = accepted.flatMap(({ parentRef }) => {
      const gateway = this.#gatewayOf(parentRef, metadata.namespace ?? "default");
      return gateway === undefined ? [] : gatewayAddresses(gateway);
    });
    return [...new Set(found)];
  }

  #gatewayOf(parent: ParentReference, namespace: string): Gateway | undefined {
    const { kind = "Gateway", name } = parent;
    const key = `${parent.namespace ?? namespace}/${name}`;
    if (kind === "Gateway") return this.#api.get("Gateway", key);
    const set = kind === "ListenerSet" ? this.#api.get("ListenerSet", key) : undefined;
    if (set === undefined) return undefined;
    return this.#gatewayOf(set.spec.parentRef, set.metadata.namespace ?? "default");
  }
}

function hostsOf({ spec }: Ingress): string[] {
  const rules = (spec.rules ?? []).flatMap(({ host }) => host ?? []);
  return [...rules, ...(spec.tls ?? []).flatMap(({ hosts = [] }) => hosts)];
}

function ingressAddresses({ status }: Ingress): IpAddress[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => tryParseIp(ip ?? "") ?? []);
}

function gatewayAddresses({ status }: Gateway): IpAddress[] {
  return (status?.addresses ?? []).flatMap(({ value }) => tryParseIp(value ?? "") ?? []);
}

function serviceAddresses({ spec, status }: Service): IpAddress[] {
  const balanced = (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? "");
  return [...balanced, ...(spec.externalIPs ?? [])].flatMap((ip) => tryParseIp(ip) ?? []);
}
