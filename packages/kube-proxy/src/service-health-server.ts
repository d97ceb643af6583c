import {
  HttpResponse,
  KernelError,
  type NetNamespace,
  startHttpServer,
  type TcpListener,
} from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { asSeenFrom, type NodeTopology } from "./endpoint-categories.ts";
import type { ProxiedPort, ServiceState } from "./service-state.ts";

/** One Service's health check port while it is open. */
interface HealthCheck {
  readonly port: number;
  readonly listeners: readonly TcpListener[];
  /** Ready endpoints on this node. */
  localEndpoints: number;
}

/**
 * The HTTP servers by which load balancers learn whether a node has endpoints of a Service with external policy Local
 * (pkg/proxy/healthcheck/service_health.go): 200 where it has, 503 where not.
 */
export class ServiceHealthServer {
  readonly #netns: NetNamespace;
  readonly #node: NodeTopology;
  readonly #addresses: readonly (IpAddress | undefined)[];
  readonly #proxyHealthy: () => boolean;
  /** By namespace and name of the Service. */
  readonly #checks = new Map<string, HealthCheck>();

  /**
   * @param addresses where to listen; `undefined` among them for everywhere
   * @param proxyHealthy whether kube-proxy keeps up with changes
   */
  constructor(
    netns: NetNamespace,
    node: NodeTopology,
    addresses: readonly (IpAddress | undefined)[],
    proxyHealthy: () => boolean,
  ) {
    this.#netns = netns;
    this.#node = node;
    this.#addresses = addresses;
    this.#proxyHealthy = proxyHealthy;
  }

  /** Opens, closes and counts by what was just programmed (`SyncServices`, `SyncEndpoints`). */
  sync(state: ServiceState): void {
    const services = checkedServices(state);
    for (const [key, check] of this.#checks) {
      if (services.get(key)?.healthCheckNodePort !== check.port) this.#close(key, check);
    }
    for (const [key, { healthCheckNodePort, ports }] of services) {
      const check = this.#checks.get(key) ?? this.#open(key, healthCheckNodePort);
      if (check !== undefined) check.localEndpoints = this.#localEndpoints(ports);
    }
  }

  /** The program ends, and its sockets with it. */
  stop(): void {
    for (const [key, check] of this.#checks) this.#close(key, check);
  }

  /** `undefined` where somebody has the port: the next sync tries again. */
  #open(key: string, port: number): HealthCheck | undefined {
    const listeners: TcpListener[] = [];
    const respond = () => this.#respond(key);
    try {
      for (const address of this.#addresses) {
        listeners.push(
          startHttpServer(this.#netns, { address, port, owner: "kube-proxy", respond }),
        );
      }
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") throw error;
      for (const listener of listeners) listener.close();
      return undefined;
    }
    const check = { port, listeners, localEndpoints: 0 };
    this.#checks.set(key, check);
    return check;
  }

  #close(key: string, check: HealthCheck): void {
    for (const listener of check.listeners) listener.close();
    this.#checks.delete(key);
  }

  /** Addresses, not ports: one with two ports is one endpoint (`LocalReadyEndpoints`). */
  #localEndpoints(ports: readonly ProxiedPort[]): number {
    const ips = new Set<string>();
    for (const { endpoints } of ports) {
      for (const { ready, nodeName, ip } of asSeenFrom(this.#node, endpoints)) {
        if (ready && nodeName === this.#node.name) ips.add(ip);
      }
    }
    return ips.size;
  }

  #respond(key: string): HttpResponse {
    const count = this.#checks.get(key)?.localEndpoints ?? 0;
    const healthy = this.#proxyHealthy();
    const [namespace, name] = key.split("/");
    const body = `{
\t"service": {
\t\t"namespace": "${namespace}",
\t\t"name": "${name}"
\t},
\t"localEndpoints": ${count},
\t"serviceProxyHealthy": ${healthy}
}`;
    const headers = {
      "Content-Type": "application/json",
      "X-Content-Type-Options": "nosniff",
      "X-Load-Balancing-Endpoint-Weight": String(count),
    };
    return new HttpResponse(count > 0 && healthy ? 200 : 503, headers, body);
  }
}

interface CheckedService {
  readonly healthCheckNodePort: number;
  readonly ports: ProxiedPort[];
}

/** Services with a health check port; nodes that share a state share this, too. */
const made = new WeakMap<ServiceState, ReadonlyMap<string, CheckedService>>();

function checkedServices(state: ServiceState): ReadonlyMap<string, CheckedService> {
  const known = made.get(state);
  if (known !== undefined) return known;
  const services = new Map<string, CheckedService>();
  for (const proxied of state.ports) {
    const { healthCheckNodePort, origin } = proxied.port;
    if (healthCheckNodePort === 0) continue;
    const key = `${origin.namespace}/${origin.name}`;
    const service = services.get(key);
    if (service === undefined) services.set(key, { healthCheckNodePort, ports: [proxied] });
    else service.ports.push(proxied);
  }
  made.set(state, services);
  return services;
}
