import { type NodeContext, timestamp } from "@cnilab/core";
import {
  HttpResponse,
  type Kernel,
  KernelError,
  startHttpServer,
  type TcpListener,
} from "@cnilab/linux";
import { isUnspecified } from "@cnilab/net";
import { goTime } from "../../go-time.ts";
import type { HealthzAddress } from "../../options/agent-config.ts";

/**
 * The server that load balancers ask where kube-proxy would have one (daemon/healthz/kube_proxy_healthz.go; Helm
 * `kubeProxyReplacementHealthzBindAddr`): an agent that runs is well, unless its node is to go.
 */
export class KubeProxyHealthz {
  readonly #node: NodeContext<Kernel>;
  readonly #address: HealthzAddress;
  readonly #lastUpdated: () => number;
  #listener: TcpListener | undefined;

  /** @param lastUpdated when the maps were last written, in virtual milliseconds */
  constructor(node: NodeContext<Kernel>, address: HealthzAddress, lastUpdated: () => number) {
    this.#node = node;
    this.#address = address;
    this.#lastUpdated = lastUpdated;
  }

  /** Where somebody has the port, nobody can ask: the agent says that kube-proxy should not be there. */
  start(): void {
    const { address, port } = this.#address;
    try {
      this.#listener = startHttpServer(this.#node.machine.initNs, {
        address: isUnspecified(address) ? undefined : address,
        port,
        owner: "cilium-agent",
        respond: ({ path }) => this.#respond(path),
      });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  stop(): void {
    this.#listener?.close();
    this.#listener = undefined;
  }

  #respond(path: string): HttpResponse {
    if (path !== "/healthz") {
      return new HttpResponse(404, { "Content-Type": "text/plain" }, "404 page not found\n");
    }
    const { api, name, clock } = this.#node;
    const goes = api.get("Node", name)?.metadata.deletionTimestamp !== undefined;
    const updated = goes ? this.#lastUpdated() : clock.now;
    const [last, now] = [updated, clock.now].map((ms) => goTime(timestamp(ms)));
    const body = `{"lastUpdated": "${last}","currentTime": "${now}"}`;
    const headers = { "Content-Type": "application/json", "X-Content-Type-Options": "nosniff" };
    return new HttpResponse(goes ? 503 : 200, headers, body);
  }
}
