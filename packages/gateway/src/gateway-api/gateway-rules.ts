import type {
  ConnectionDecision,
  IncomingConnection,
  RouteBackend,
  RouteDecision,
  RuleSource,
} from "../routing/decision.ts";
import { HostIndex, hostOf } from "../routing/host-index.ts";
import type { ProxyRules, ServedPort } from "../routing/proxy-rules.ts";
import type { RequestHead } from "../routing/request-head.ts";
import { RequestParts } from "../routing/request-parts.ts";
import { GrpcRouteTable } from "./grpc-route-table.ts";
import { HttpRouteTable } from "./http-route-table.ts";
import type { GatewayListener } from "./listeners.ts";

/** Where the bytes of a connection go. */
export interface StreamRoute {
  readonly backends: readonly RouteBackend[];
  readonly rule: RuleSource;
}

/** A listener that is served, with the routes on it. */
export class ServedListener {
  readonly listener: GatewayListener;
  readonly http: HttpRouteTable = new HttpRouteTable();
  readonly grpc: GrpcRouteTable = new GrpcRouteTable();
  /** By server name, of TLSRoutes. */
  readonly tls: HostIndex<StreamRoute> = new HostIndex<StreamRoute>("any labels");
  /** Of the oldest TCPRoute or UDPRoute. */
  stream: StreamRoute | undefined;

  constructor(listener: GatewayListener) {
    this.listener = listener;
  }

  get text(): string {
    const { parent, spec } = this.listener;
    return `listener ${spec.name} of ${parent.kind} ${this.listener.namespace}/${parent.metadata.name}`;
  }
}

/** All listeners of one port, by host name. */
interface PortListeners {
  readonly protocol: ServedPort["protocol"];
  readonly byHost: HostIndex<ServedListener>;
}

/** What the data plane of one Gateway serves. */
export class GatewayRules implements ProxyRules {
  readonly ports: readonly ServedPort[];
  readonly #tcp = new Map<number, PortListeners>();
  readonly #udp = new Map<number, ServedListener>();

  constructor(listeners: readonly ServedListener[]) {
    for (const served of listeners) {
      const { protocol, port } = served.listener.spec;
      served.http.finish();
      served.grpc.finish();
      if (protocol === "UDP") {
        this.#udp.set(port, served);
        continue;
      }
      const there = this.#tcp.get(port);
      // Where both stand on one port, who asks is told apart by the server name alone.
      const both = there?.protocol === "TLS" || protocol === "TLS" ? "TLS" : protocol;
      const byHost = there?.byHost ?? new HostIndex<ServedListener>("any labels");
      byHost.set(served.listener.hostname, served);
      this.#tcp.set(port, { protocol: both as ServedPort["protocol"], byHost });
    }
    this.ports = [
      ...[...this.#tcp].map(([port, { protocol }]) => ({ port, protocol })),
      ...[...this.#udp.keys()].map((port) => ({ port, protocol: "UDP" as const })),
    ].sort((x, y) => x.port - y.port);
  }

  routeConnection({ protocol, port, tls }: IncomingConnection): ConnectionDecision {
    if (protocol === "UDP") return streamOf(this.#udp.get(port), "UDPRoute", port);
    const listeners = this.#tcp.get(port);
    if (listeners === undefined) return { action: "reset", why: `no listener on port ${port}` };
    if (listeners.protocol === "TCP") return streamOf(listeners.byHost.find(""), "TCPRoute", port);
    if (listeners.protocol === "HTTP") {
      return tls === undefined
        ? { action: "http", why: `HTTP is read on port ${port}` }
        : { action: "reset", why: `port ${port} speaks HTTP, and the client started with TLS` };
    }
    if (tls === undefined) {
      return { action: "reset", why: `port ${port} speaks TLS, and the client did not` };
    }
    const name = hostOf(tls.serverName ?? "");
    const served = listeners.byHost.find(name);
    if (served === undefined) {
      const why = `no listener on port ${port} for ${name === "" ? "a client that names no server" : `server name ${name}`}`;
      return { action: "reset", why };
    }
    return terminated(served, name);
  }

  routeRequest(head: RequestHead): RouteDecision {
    const port = head.port ?? (head.scheme === "https" ? 443 : 80);
    const request = new RequestParts(head);
    const listeners = this.#tcp.get(port);
    const wanted = head.scheme === "https" ? ["HTTPS", "TLS"] : ["HTTP"];
    if (listeners === undefined || !wanted.includes(listeners.protocol)) {
      const why = `no listener for ${head.scheme} on port ${port}`;
      return { action: "answer", status: 404, why };
    }
    const served = listeners.byHost.find(request.host);
    if (served === undefined) {
      const why = `no listener on port ${port} has host ${request.host}`;
      return { action: "answer", status: 404, why };
    }
    const { sni } = head;
    if (sni !== undefined && sni !== "" && listeners.byHost.find(hostOf(sni)) !== served) {
      // apis/v1/gateway_types.go, OverlappingTLSConfig: the connection was made with another listener.
      const why = `the connection is for ${sni}, the request for ${request.host}: another listener`;
      return { action: "answer", status: 421, why };
    }
    const decision = served.http.decide(request, port) ?? served.grpc.decide(request, port);
    return decision ?? { action: "answer", status: 404, why: `no route of ${served.text} matches` };
  }
}

function terminated(served: ServedListener, name: string): ConnectionDecision {
  const { listener } = served;
  const { spec, certificates } = listener;
  const [certificate] = certificates;
  if (spec.protocol === "HTTPS") {
    return { action: "terminate", certificate, why: `${served.text} ends TLS` };
  }
  const route = served.tls.find(name);
  if (route === undefined) {
    return { action: "reset", why: `no TLSRoute of ${served.text} has server name ${name}` };
  }
  const why = `${route.rule.kind} ${route.rule.namespace}/${route.rule.name} has server name ${name || "(none)"}`;
  return spec.tls?.mode === "Passthrough"
    ? { action: "forward", ...route, why }
    : { action: "terminate", certificate, ...route, why };
}

function streamOf(
  served: ServedListener | undefined,
  kind: string,
  port: number,
): ConnectionDecision {
  if (served === undefined) return { action: "reset", why: `no listener on port ${port}` };
  if (served.stream === undefined) {
    return { action: "reset", why: `no ${kind} on ${served.text}` };
  }
  const { rule } = served.stream;
  const why = `${rule.kind} ${rule.namespace}/${rule.name} has port ${port}`;
  return { action: "forward", ...served.stream, why };
}
