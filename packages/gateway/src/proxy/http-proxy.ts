import type { Timer } from "@cnilab/core";
import {
  HttpClientConnection,
  HttpFailure,
  type HttpHeaders,
  HttpRequest,
  HttpResponse,
  headerOf,
  type ReceivedRequest,
  ServerReport,
  statusText,
} from "@cnilab/linux";
import { familyOf, formatEndpoint, formatIp, tryParseIp } from "@cnilab/net";
import { chooseBackend } from "../routing/choose-backend.ts";
import type { Forward, RouteBackend, RouteDecision } from "../routing/decision.ts";
import { endpointToken, RoundRobin } from "./balancer.ts";
import { corsHeaders, isPreflight } from "./cors.ts";
import { backendKey, type ProxyEndpoint } from "./endpoint-index.ts";
import { familiesOf } from "./families.ts";
import { forwardedHeaders, modified } from "./forwarded-headers.ts";
import { type ProxyAttempt, ProxyReport } from "./proxy-report.ts";
import type { ProxyContext, ProxyPort } from "./proxy-settings.ts";

/** Methods that may be sent again after they have been sent once (nginx `proxy_next_upstream`, `non_idempotent`). */
const NON_IDEMPOTENT = ["POST", "LOCK", "PATCH"];

/** Takes requests where the rules say, by connections of its own from the proxy's namespace. */
export class HttpProxy {
  readonly context: ProxyContext;
  readonly turns: RoundRobin;

  constructor(context: ProxyContext) {
    this.context = context;
    this.turns = new RoundRobin(context.random);
  }

  handle(
    port: ProxyPort,
    received: ReceivedRequest,
    answer: (response: HttpResponse) => void,
  ): void {
    new ProxiedRequest(this, port, received, answer).start();
  }
}

/** Where one request goes next, and why it cannot. */
type Target =
  | { readonly endpoint: ProxyEndpoint }
  | { readonly status: number; readonly why: string };

/** One request on its way through the proxy. */
class ProxiedRequest {
  readonly #proxy: HttpProxy;
  readonly #port: ProxyPort;
  readonly #received: ReceivedRequest;
  readonly #answer: (response: HttpResponse) => void;
  readonly #attempts: ProxyAttempt[] = [];
  #decision: RouteDecision | undefined;
  #backend: RouteBackend | undefined;
  #sessionToken: string | undefined;
  #deadline: Timer | undefined;
  #connection: HttpClientConnection | undefined;
  #done = false;

  constructor(
    proxy: HttpProxy,
    port: ProxyPort,
    received: ReceivedRequest,
    answer: (response: HttpResponse) => void,
  ) {
    this.#proxy = proxy;
    this.#port = port;
    this.#received = received;
    this.#answer = answer;
  }

  start(): void {
    const { request, scheme, serverName } = this.#received;
    const decision = this.#port.rules().routeRequest({
      scheme,
      method: request.method,
      host: request.host,
      path: request.target,
      headers: request.headers,
      port: this.#port.port,
      ...(serverName === undefined ? {} : { sni: serverName }),
    });
    this.#decision = decision;
    switch (decision.action) {
      case "redirect":
        this.#own(decision.status, decision.why, { Location: decision.location });
        break;
      case "answer":
        this.#own(decision.status, decision.why, decision.headers);
        break;
      case "forward":
        this.#forward(decision);
    }
  }

  #forward(decision: Forward): void {
    const { clock, random } = this.#proxy.context;
    const { request } = this.#received;
    if (decision.cors !== undefined && isPreflight(request)) {
      const headers = corsHeaders(decision.cors, request);
      this.#own(204, "CORS: the proxy answers what a browser asks beforehand", headers);
      return;
    }
    const kept = this.#keptEndpoint(decision);
    this.#backend = kept?.backend ?? chooseBackend(decision.backends, random);
    const { redirect, mirrors = [] } = this.#backend;
    if (redirect !== undefined) {
      this.#own(redirect.status, decision.why, { Location: redirect.location });
      return;
    }
    for (const { backend, share } of [...decision.mirrors, ...mirrors]) {
      if (random.below(10_000) < share * 10_000) this.#mirror(decision, backend);
    }
    const { requestMs } = decision.timeouts ?? {};
    if (requestMs !== undefined && requestMs > 0) {
      this.#deadline = clock.schedule(requestMs, () =>
        this.#own(504, `no answer within the ${requestMs} ms that the route gives a request`),
      );
    }
    this.#try(decision, this.#backend, kept?.endpoint);
  }

  /** The endpoint that the client's cookie or header names, where it is ready still. */
  #keptEndpoint(
    decision: Forward,
  ): { readonly backend: RouteBackend; readonly endpoint: ProxyEndpoint } | undefined {
    const { session } = decision;
    if (session === undefined) return undefined;
    const { headers } = this.#received.request;
    const token =
      session.by === "header" ? headerOf(headers, session.name) : cookieOf(headers, session.name);
    if (token === undefined) return undefined;
    for (const backend of decision.backends) {
      if (backend.error !== undefined || backend.redirect !== undefined) continue;
      const endpoint = this.#ready(backend).endpoints.find((e) => endpointToken(e) === token);
      if (endpoint !== undefined) return { backend, endpoint };
    }
    return undefined;
  }

  #ready(backend: RouteBackend): ReturnType<ProxyContext["endpoints"]["ready"]> {
    const { endpoints, settings } = this.#proxy.context;
    return endpoints.ready(backendKey(backend), backend.port, settings.style === "nginx");
  }

  #targetOf(backend: RouteBackend): Target {
    if (backend.error !== undefined) return backend.error;
    const key = backendKey(backend);
    if (backend.viaClusterIP === true) {
      const { spec } = this.#proxy.context.endpoints.service(key) ?? {};
      const address = tryParseIp(spec?.clusterIP ?? "");
      const port = spec?.ports?.find((p) => [p.port, p.name].includes(backend.port))?.port;
      if (address !== undefined && port !== undefined) return { endpoint: { address, port } };
      return {
        status: 503,
        why: `Service ${key} has no cluster address or no port ${backend.port}`,
      };
    }
    const { endpoints, why } = this.#ready(backend);
    if (endpoints.length === 0 && backend.fallback !== undefined) {
      this.#backend = backend.fallback;
      return this.#targetOf(backend.fallback);
    }
    if (endpoints.length === 0) return { status: 503, why };
    return { endpoint: this.#proxy.turns.pick(`${key}:${backend.port}`, endpoints) };
  }

  #try(decision: Forward, backend: RouteBackend, kept?: ProxyEndpoint): void {
    const name = backend.error === undefined ? this.#externalName(backend) : undefined;
    if (name !== undefined)
      this.#resolve(name, backend, (target) => this.#go(decision, backend, target));
    else
      this.#go(
        decision,
        backend,
        kept === undefined ? this.#targetOf(backend) : { endpoint: kept },
      );
  }

  #externalName(backend: RouteBackend): string | undefined {
    const { spec } = this.#proxy.context.endpoints.service(backendKey(backend)) ?? {};
    return spec?.type === "ExternalName" ? spec.externalName : undefined;
  }

  /** A Service of type ExternalName has no endpoints but a name, which the proxy looks up itself. */
  #resolve(name: string, backend: RouteBackend, done: (target: Target) => void): void {
    const { lookup, endpoints } = this.#proxy.context;
    const key = backendKey(backend);
    const ports = endpoints.service(key)?.spec.ports ?? [];
    const found = ports.find((p) => [p.port, p.name].includes(backend.port));
    const targetPort = found?.targetPort ?? found?.port ?? backend.port;
    const port = Number(targetPort);
    if (lookup === undefined || Number.isNaN(port)) {
      const why =
        lookup === undefined ? "nobody resolves names here" : `port ${targetPort} is no number`;
      done({ status: 503, why: `Service ${key} stands for ${name}: ${why}` });
      return;
    }
    const families = familiesOf(this.#proxy.context.netns);
    lookup(name, this.#received.connection.trace, (addresses) => {
      const address = addresses.find((a) => families.includes(familyOf(a))) ?? addresses[0];
      if (address !== undefined) done({ endpoint: { address, port } });
      else done({ status: 503, why: `Service ${key} stands for ${name}, which has no address` });
    });
  }

  #go(decision: Forward, backend: RouteBackend, target: Target): void {
    if ("status" in target) {
      this.#own(target.status, target.why);
      return;
    }
    const { endpoint } = target;
    if (decision.session !== undefined) this.#sessionToken = endpointToken(endpoint);
    const answered = (result: HttpResponse | HttpFailure, source: ProxyAttempt["source"]) => {
      if (this.#done) return;
      const failure = result instanceof HttpFailure ? result : undefined;
      this.#attempts.push({
        endpoint,
        source,
        failure: failure?.message,
        timedOut: failure?.timedOut ?? false,
      });
      if (this.#again(decision, result)) {
        const wait = decision.retry?.backoffMs ?? 0;
        const next = () => {
          if (!this.#done) this.#try(decision, backend);
        };
        if (wait > 0) this.#proxy.context.clock.schedule(wait, next);
        else next();
      } else if (result instanceof HttpFailure) {
        const where = formatEndpoint(endpoint.address, endpoint.port);
        this.#own(
          result.timedOut ? 504 : 502,
          `endpoint ${where} of Service ${backendKey(backend)}: ${result.message}`,
        );
      } else {
        this.#passOn(decision, backend, result);
      }
    };
    this.#connect(decision, backend, endpoint, answered, (connection) => {
      this.#connection = connection;
    });
  }

  /** Whether another endpoint is asked after this. */
  #again(decision: Forward, result: HttpResponse | HttpFailure): boolean {
    const { settings } = this.#proxy.context;
    const { retry } = decision;
    const tries = retry === undefined ? settings.tries : retry.attempts + 1;
    if (this.#attempts.length >= tries) return false;
    if (!(result instanceof HttpFailure)) return retry?.codes.includes(result.status) ?? false;
    const wasSent = result.stage === "answer";
    return !wasSent || !NON_IDEMPOTENT.includes(this.#received.request.method);
  }

  #connect(
    decision: Forward,
    backend: RouteBackend,
    endpoint: ProxyEndpoint,
    done: (result: HttpResponse | HttpFailure, source: ProxyAttempt["source"]) => void,
    /** Hears of the connection as soon as it stands. */
    opening?: (connection: HttpClientConnection) => void,
  ): void {
    const { netns, owner, settings } = this.#proxy.context;
    const tls = ["HTTPS", "GRPCS", "WSS"].includes(backend.protocol);
    const options = {
      dst: endpoint.address,
      port: endpoint.port,
      owner,
      connectTimeoutMs: settings.connectTimeoutMs,
      trace: this.#received.connection.trace,
      ...(tls && { tls: { serverName: backend.serverName, verifyHost: backend.serverName } }),
    };
    HttpClientConnection.open(netns, options, (opened) => {
      if (opened instanceof HttpFailure) {
        done(opened, undefined);
        return;
      }
      opening?.(opened);
      const timeout = decision.timeouts?.backendRequestMs ?? settings.readTimeoutMs;
      opened.ask(this.#requestTo(decision, backend), timeout, (result) => {
        opened.close();
        done(result, opened.connection.localAddress);
      });
    });
  }

  #requestTo(decision: Forward, backend: RouteBackend): HttpRequest {
    const { random, settings } = this.#proxy.context;
    const forwarded = forwardedHeaders(this.#received, this.#port.port, settings.style, random);
    const headers = modified(modified(forwarded, decision.requestHeaders), backend.requestHeaders);
    const target = backend.path ?? decision.path;
    const at = target.indexOf("?");
    return new HttpRequest({
      method: this.#received.request.method,
      host: backend.host ?? decision.host,
      path: at < 0 ? target : target.slice(0, at),
      query: at < 0 ? "" : target.slice(at + 1),
      headers,
    });
  }

  /** Asks and does not listen. */
  #mirror(decision: Forward, backend: RouteBackend): void {
    const chosen = this.#backend;
    const target = this.#targetOf(backend);
    this.#backend = chosen;
    if ("endpoint" in target) this.#connect(decision, backend, target.endpoint, () => {});
  }

  #passOn(decision: Forward, backend: RouteBackend, response: HttpResponse): void {
    let headers = modified(response.headers, decision.responseHeaders);
    headers = modified(headers, backend.responseHeaders);
    if (decision.cors !== undefined) {
      headers = { ...headers, ...corsHeaders(decision.cors, this.#received.request) };
    }
    headers = { ...headers, ...this.#sessionHeaders(decision) };
    this.#finish(response.passedOn(headers, this.#report("")));
  }

  #sessionHeaders({ session }: Forward): HttpHeaders {
    const token = this.#sessionToken;
    if (session === undefined || token === undefined) return {};
    const { headers } = this.#received.request;
    if (session.by === "header") return { [session.name]: token };
    if (cookieOf(headers, session.name) === token) return {};
    const age =
      session.absoluteTimeoutMs === undefined
        ? ""
        : `; Max-Age=${Math.floor(session.absoluteTimeoutMs / 1000)}`;
    return {
      "Set-Cookie": `${session.name}=${token}; Path=${session.path ?? "/"}${age}; HttpOnly`,
    };
  }

  /** The proxy's own answer. */
  #own(status: number, why: string, headers: HttpHeaders = {}): void {
    const body = `${status} ${statusText(status)}\n`;
    const all = { "Content-Type": "text/plain", ...headers };
    this.#finish(new HttpResponse(status, all, status === 204 ? "" : body, [this.#report(why)]));
  }

  #report(why: string): ProxyReport {
    const server = ServerReport.of(this.#received.connection);
    const decision = this.#decision as RouteDecision;
    return new ProxyReport(server, decision, this.#backend, [...this.#attempts], why);
  }

  #finish(response: HttpResponse): void {
    if (this.#done) return;
    this.#done = true;
    this.#deadline?.cancel();
    if (this.#connection?.usable === false) this.#connection.close();
    this.#log(response);
    this.#answer(response);
  }

  /** In the manner of ingress-nginx's `log-format-upstream`. */
  #log({ status }: HttpResponse): void {
    const { connection, request } = this.#received;
    const backend = this.#backend;
    const name =
      backend === undefined ? "-" : `${backend.namespace}-${backend.name}-${backend.port}`;
    const asked = this.#attempts
      .map(({ endpoint: { address, port } }) => formatEndpoint(address, port))
      .join(", ");
    this.#proxy.context.log(
      `${formatIp(connection.remoteAddress)} - "${request.method} ${request.target} HTTP/1.1" ${status} ${request.host || "-"} [${name}] ${asked || "-"}`,
    );
  }
}

function cookieOf(headers: HttpHeaders, name: string): string | undefined {
  for (const part of (headerOf(headers, "Cookie") ?? "").split(";")) {
    const [key, value] = part.split("=");
    if (key?.trim() === name) return value?.trim();
  }
  return undefined;
}
