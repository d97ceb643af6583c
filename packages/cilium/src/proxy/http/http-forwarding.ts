import {
  HttpClientConnection,
  HttpFailure,
  type HttpHeaders,
  HttpRequest,
  HttpResponse,
  ProxyNote,
  type ReceivedRequest,
  ServerReport,
  type Trace,
  withHeader,
} from "@cnilab/linux";
import { formatIp } from "@cnilab/net";
import { MESSAGE_TYPE } from "../../hubble/monitor-messages.ts";
import type { ProxiedEnds, ProxyEnvironment } from "../proxy-environment.ts";
import type { ProxiedConnection, ProxyNetworkPolicy } from "./network-policy.ts";
import { normalizePath } from "./path-normalization.ts";
import { ENVOY, type UpstreamSource } from "./upstream-source.ts";

export interface ForwardingOptions {
  readonly policy: ProxyNetworkPolicy;
  readonly proxied: ProxiedConnection;
  readonly ends: ProxiedEnds;
  /** Identities of both; that of the destination is 0 on the way in. */
  readonly source: number;
  readonly destination: number;
  readonly upstream: UpstreamSource;
  readonly trace: Trace | undefined;
}

/** `proxy-connect-timeout`, `http-request-timeout`, `http-retry-count` */
const CONNECT_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 3_600_000;
const RETRIES = 3;
/** Envoy's base of the interval between tries. */
const RETRY_BASE_MS = 25;

/** Requests of one connection of a client, judged and sent on by one connection of the proxy's own, if it stays open. */
export class HttpForwarding {
  readonly #environment: ProxyEnvironment;
  readonly #options: ForwardingOptions;
  #connection: HttpClientConnection | undefined;

  constructor(environment: ProxyEnvironment, options: ForwardingOptions) {
    this.#environment = environment;
    this.#options = options;
  }

  handle(received: ReceivedRequest, answer: (response: HttpResponse) => void): void {
    const { clock } = this.#environment.netns.network;
    const started = clock.now;
    const { path, redirect } = normalizePath(received.request.path);
    const asked = new HttpRequest({
      ...fields(received.request),
      path,
      headers: this.#managed(received.request.headers),
    });
    if (redirect) {
      const { query } = asked;
      const location = query === "" ? path : `${path}?${query}`;
      answer(new HttpResponse(307, { ...SERVER, Location: location }, ""));
      return;
    }
    const { policy, proxied } = this.#options;
    const matched = policy.matchRequest(proxied, asked);
    const server = ServerReport.of(received.connection);
    const finish = (response: HttpResponse, why: string, own: HttpHeaders = {}) => {
      const headers = { ...response.headers, ...own, ...SERVER };
      const passed = response.passedOn(headers, new ProxyNote(server, why));
      this.#log(asked, "RESPONSE", "FORWARDED", passed, clock.now - started);
      answer(passed);
    };
    if (matched === undefined) {
      this.#log(asked, "REQUEST", "DENIED");
      finish(
        new HttpResponse(403, { "content-type": "text/plain" }, "Access denied\r\n"),
        this.#denial(asked),
      );
      return;
    }
    const left = new HttpRequest({ ...fields(asked), headers: matched.headers });
    this.#log(left, "REQUEST", "FORWARDED");
    this.#send(routed(left), 0, (result) => {
      if (result instanceof HttpFailure) {
        finish(unavailable(result), result.message);
        return;
      }
      const spent = String(Math.floor(clock.now - started));
      finish(result, "", { "x-envoy-upstream-service-time": spent });
    });
  }

  close(): void {
    this.#connection?.close();
    this.#connection = undefined;
  }

  #denial(request: HttpRequest): string {
    const { proxied, ends } = this.#options;
    const [of, address] =
      proxied.direction === "ingress" ? ["ingress to", ends.server] : ["egress of", ends.client];
    const pod = this.#environment.endpointAt(address)?.podKey ?? formatIp(address);
    return `no HTTP rule for ${of} ${pod} allows ${request}`;
  }

  /** What Envoy's connection manager sets. */
  #managed(headers: HttpHeaders): HttpHeaders {
    const { random } = this.#environment;
    const words = Array.from({ length: 4 }, () => random.uint32().toString(16).padStart(8, "0"));
    const hex = words.join("");
    const id = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-9${hex.slice(17, 20)}-${hex.slice(20)}`;
    return withHeader(withHeader(headers, "x-forwarded-proto", "http"), "x-request-id", id);
  }

  #send(
    request: HttpRequest,
    tries: number,
    done: (result: HttpResponse | HttpFailure) => void,
  ): void {
    const { network } = this.#environment.netns;
    const answered = (result: HttpResponse | HttpFailure) => {
      const failed = result instanceof HttpFailure || result.status >= 500;
      if (!failed || tries >= RETRIES) {
        done(result);
        return;
      }
      const wait = this.#environment.random.below(RETRY_BASE_MS * (2 ** (tries + 1) - 1));
      network.clock.schedule(wait, () => this.#send(request, tries + 1, done));
    };
    const ask = (connection: HttpClientConnection) =>
      connection.ask(request, REQUEST_TIMEOUT_MS, answered);
    if (this.#connection?.usable === true) {
      ask(this.#connection);
      return;
    }
    const { ends, upstream, trace } = this.#options;
    const options = {
      dst: ends.server,
      port: ends.serverPort,
      owner: ENVOY,
      socket: upstream,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      trace,
    };
    HttpClientConnection.open(this.#environment.netns, options, (opened) => {
      if (opened instanceof HttpFailure) answered(opened);
      else {
        this.#connection = opened;
        ask(opened);
      }
    });
  }

  #log(
    request: HttpRequest,
    kind: "REQUEST" | "RESPONSE",
    verdict: "FORWARDED" | "DENIED",
    response?: HttpResponse,
    latencyMs = 0,
  ): void {
    const { ends, source, destination, proxied } = this.#options;
    const { nodeName, netns } = this.#environment;
    const client = { address: ends.client, port: ends.clientPort, identity: source };
    const server = { address: ends.server, port: ends.serverPort, identity: destination };
    const { "x-request-id": id = "", ...others } = request.headers;
    const headers =
      response === undefined
        ? { "x-request-id": id, ...withoutScheme(others) }
        : { "x-request-id": id, ...response.headers };
    this.#environment.log({
      type: MESSAGE_TYPE.l7,
      node: nodeName,
      time: netns.network.clock.now,
      kind,
      verdict,
      ingress: proxied.direction === "ingress",
      transport: "TCP",
      source: kind === "REQUEST" ? client : server,
      destination: kind === "REQUEST" ? server : client,
      http: {
        method: request.method,
        url: `http://${request.host}${request.target}`,
        protocol: "HTTP/1.1",
        code: response?.status ?? 0,
        headers,
        latencyMs,
      },
    });
  }
}

const SERVER: HttpHeaders = { server: "envoy" };

function fields({ method, host, path, query }: HttpRequest) {
  return { method, host, path, query };
}

/** What Envoy's router adds. */
function routed(request: HttpRequest): HttpRequest {
  const timeout = String(REQUEST_TIMEOUT_MS);
  const headers = withHeader(request.headers, "x-envoy-expected-rq-timeout-ms", timeout);
  return new HttpRequest({ ...fields(request), headers });
}

/** The scheme is logged in the URL (Entry::updateFromRequest). */
function withoutScheme({ "x-forwarded-proto": _scheme, ...headers }: HttpHeaders): HttpHeaders {
  return headers;
}

/** Envoy's own answer where nobody else's came. */
function unavailable({ timedOut, stage }: HttpFailure): HttpResponse {
  const headers = { "content-type": "text/plain" };
  if (timedOut && stage === "answer") {
    return new HttpResponse(504, headers, "upstream request timeout");
  }
  const failure = stage === "connect" ? "remote connection failure" : "connection termination";
  const why = timedOut ? "connection timeout" : failure;
  const body = `upstream connect error or disconnect/reset before headers. reset reason: ${why}`;
  return new HttpResponse(503, headers, body);
}
