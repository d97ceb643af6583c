import {
  HttpResponse,
  KernelError,
  type NetNamespace,
  startHttpServer,
  type TcpListener,
} from "@cnilab/linux";
import type { ServiceEntry } from "./service-entry.ts";

interface HealthServer {
  readonly port: number;
  readonly listener: TcpListener;
}

/**
 * HTTP servers at the `healthCheckNodePort` of Services with external policy Local (pkg/loadbalancer/healthserver): 200
 * where the node has active backends of it, 503 where not. Only where Cilium does kube-proxy's work.
 */
export class ServiceHealthServers {
  readonly #netns: NetNamespace;
  readonly #node: string;
  readonly #servers = new Map<string, HealthServer>();
  #entries: ReadonlyMap<string, ServiceEntry> = new Map();
  #seen: readonly ServiceEntry[] | undefined;

  constructor(netns: NetNamespace, node: string) {
    this.#netns = netns;
    this.#node = node;
  }

  /** @param entries all Services that ask for such a server; the same list while they are the same */
  sync(entries: readonly ServiceEntry[]): void {
    if (entries === this.#seen) return;
    this.#seen = entries;
    this.#entries = new Map(entries.map((entry) => [entry.service.name, entry] as const));
    for (const [name, server] of this.#servers) {
      const entry = this.#entries.get(name);
      if (entry !== undefined && healthCheckPort(entry) === server.port) continue;
      server.listener.close();
      this.#servers.delete(name);
    }
    for (const [name, entry] of this.#entries) {
      if (!this.#servers.has(name)) this.#open(name, healthCheckPort(entry));
    }
  }

  /** The agent ends, and its sockets with it. */
  stop(): void {
    for (const { listener } of this.#servers.values()) listener.close();
    this.#servers.clear();
    this.#seen = undefined;
  }

  #open(name: string, port: number): void {
    try {
      const respond = () => this.#respond(name);
      const listener = startHttpServer(this.#netns, { port, owner: "cilium-agent", respond });
      this.#servers.set(name, { port, listener });
    } catch (error) {
      // Somebody has the port: the next change of such Services tries again.
      if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") throw error;
    }
  }

  #respond(name: string): HttpResponse {
    const backends = this.#entries.get(name)?.backends ?? [];
    const count = backends.filter(
      ({ node, state }) => state === "active" && (node === "" || node === this.#node),
    ).length;
    const [namespace, service] = name.split("/");
    const headers = {
      "Content-Type": "application/json",
      "X-Content-Type-Options": "nosniff",
      "X-Load-Balancing-Endpoint-Weight": String(count),
    };
    const body = JSON.stringify({
      service: { namespace, name: service },
      localEndpoints: count,
    });
    return new HttpResponse(count > 0 ? 200 : 503, headers, `${body}\n`);
  }
}

/** 0 where the Service wants no such server. */
export function healthCheckPort({ object, service }: ServiceEntry): number {
  const type = object?.spec.type;
  if (!service.extLocal || (type !== "LoadBalancer" && type !== "NodePort")) return 0;
  return object?.spec.healthCheckNodePort ?? 0;
}
