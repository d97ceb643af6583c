import type { NodeContext } from "@cnilab/core";
import { HttpResponse, type NetNamespace, startHttpServer, type TcpListener } from "@cnilab/linux";
import { IPPROTO_TCP } from "@cnilab/net";

/** `healthzBindAddress` is 0.0.0.0:10256. */
export const HEALTHZ_PORT = 10_256;
/** Milliseconds for which a change may wait to be programmed: twice `syncPeriod`. */
const HEALTH_TIMEOUT_MS = 60_000;
const TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler";

/**
 * kube-proxy's own health (pkg/proxy/healthcheck/proxy_health.go): `/livez` says whether it keeps up with changes, `/healthz`
 * besides whether the node is there to stay (KEP-3836). Load balancers ask it where any node may take a packet.
 */
export class ProxyHealthServer {
  readonly #netns: NetNamespace;
  readonly #node: Pick<NodeContext, "name" | "api" | "clock">;
  #listener: TcpListener | undefined;
  /** When the oldest change came that is not programmed yet. */
  #queuedAt: number | undefined;

  constructor(netns: NetNamespace, node: Pick<NodeContext, "name" | "api" | "clock">) {
    this.#netns = netns;
    this.#node = node;
  }

  /** Where somebody has the port, nobody can ask (the real one tries again for ever). */
  start(): void {
    if (this.#netns.sockets.listening(IPPROTO_TCP, HEALTHZ_PORT).length > 0) return;
    this.#listener ??= startHttpServer(this.#netns, {
      port: HEALTHZ_PORT,
      owner: "kube-proxy",
      respond: ({ path }) => this.#respond(path),
    });
  }

  stop(): void {
    this.#listener?.close();
    this.#listener = undefined;
    this.#queuedAt = undefined;
  }

  /** A change has come. */
  queuedUpdate(): void {
    this.#queuedAt ??= this.#node.clock.now;
  }

  /** All changes are programmed. */
  updated(): void {
    this.#queuedAt = undefined;
  }

  get healthy(): boolean {
    const since = this.#queuedAt;
    return since === undefined || this.#node.clock.now - since < HEALTH_TIMEOUT_MS;
  }

  #respond(path: string): HttpResponse {
    const { healthy } = this;
    switch (path) {
      case "/livez":
        return answer(healthy, { healthy });
      case "/healthz": {
        const nodeEligible = this.#nodeEligible();
        return answer(healthy && nodeEligible, { nodeEligible, healthy });
      }
      default:
        return new HttpResponse(404, { "Content-Type": "text/plain" }, "404 page not found\n");
    }
  }

  #nodeEligible(): boolean {
    const node = this.#node.api.get("Node", this.#node.name);
    if (node === undefined || node.metadata.deletionTimestamp !== undefined) return false;
    return !(node.spec?.taints ?? []).some(({ key }) => key === TO_BE_DELETED);
  }
}

function answer(good: boolean, body: Readonly<Record<string, boolean>>): HttpResponse {
  const headers = { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" };
  return new HttpResponse(good ? 200 : 503, headers, JSON.stringify(body));
}
