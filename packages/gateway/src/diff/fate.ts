import type { CorsFilter, HeaderModifier } from "@cnilab/core";
import type { BackendProtocol, Mirror, RouteBackend, RouteDecision } from "../routing/decision.ts";
import type { UnreadPart } from "./not-compared.ts";

/** What becomes of a request, in a form that two rule sets can be compared by. */
export interface Fate {
  readonly status?: number;
  readonly location?: string;
  /** Backends as `namespace/name:port`, with their share where there are several. */
  readonly backends?: readonly string[];
  /** What the backend gets, where that is not what the client sent. */
  readonly path?: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  /** What the client gets beside the backend's answer. */
  readonly responseHeaders?: readonly string[];
  readonly cors?: CorsFilter;
  /** Who gets a copy, as `namespace/name:port 10%`. */
  readonly mirrors?: readonly string[];
  /** By what clients are kept at one endpoint. */
  readonly session?: "cookie" | "header";
}

/** What is spoken to an endpoint, as far as it tells endpoints apart: gRPC is HTTP/2, and a WebSocket begins as HTTP. */
const SPOKEN: Readonly<Record<BackendProtocol, string>> = {
  HTTP: "",
  WS: "",
  H2C: "h2c",
  GRPC: "h2c",
  HTTPS: "TLS",
  WSS: "TLS",
  GRPCS: "TLS",
  TLS: "TLS",
  TCP: "TCP",
  UDP: "UDP",
  FCGI: "FastCGI",
};

export function fateOf(
  decision: RouteDecision,
  asked: { readonly host: string; readonly path: string },
  except: ReadonlySet<UnreadPart> = new Set(),
): Fate {
  switch (decision.action) {
    case "answer":
      return { status: decision.status };
    case "redirect":
      return { status: decision.status, location: withPath(decision.location) };
    case "forward": {
      const { path, host, session, cors } = decision;
      const headers = headerTexts(decision.requestHeaders);
      const responseHeaders = headerTexts(decision.responseHeaders);
      const mirrors = decision.mirrors.map(mirrorText).sort();
      return {
        backends: shares(decision.backends, except),
        ...(path !== asked.path && { path }),
        ...(host !== asked.host && { host }),
        ...(headers.length > 0 && { headers }),
        ...(responseHeaders.length > 0 && !except.has("responseHeaders") && { responseHeaders }),
        ...(cors !== undefined && !except.has("cors") && { cors }),
        ...(mirrors.length > 0 && !except.has("mirrors") && { mirrors }),
        ...(session !== undefined && { session: session.by }),
      };
    }
  }
}

function headerTexts(modifiers: readonly HeaderModifier[]): string[] {
  return modifiers
    .flatMap(({ set = [], add = [], remove = [] }) => [
      ...set.map((h) => `${h.name.toLowerCase()}: ${h.value}`),
      ...add.map((h) => `+${h.name.toLowerCase()}: ${h.value}`),
      ...remove.map((name) => `-${name.toLowerCase()}`),
    ])
    .sort();
}

function mirrorText({ backend, share }: Mirror): string {
  const part = share === 1 ? "" : ` ${Number((share * 100).toFixed(2))}%`;
  return `${backend.namespace}/${backend.name}:${backend.port}${part}`;
}

/** A client asks for `/` where an address has no path (RFC 3986 §6.2.3). */
function withPath(location: string): string {
  return /^https?:\/\/[^/?#]+$/.test(location) ? `${location}/` : location;
}

function shares(backends: readonly RouteBackend[], except: ReadonlySet<UnreadPart>): string[] {
  const sum = backends.reduce((total, { weight }) => total + weight, 0);
  const byName = new Map<string, number>();
  for (const backend of backends) {
    const { weight } = backend;
    const text = backendText(backend, except);
    byName.set(text, (byName.get(text) ?? 0) + weight);
  }
  const list = [...byName].sort(([x], [y]) => (x < y ? -1 : 1));
  if (list.length === 1) return list.map(([text]) => text);
  return list.map(([text, weight]) => `${text} ${Number(((weight / sum) * 100).toFixed(2))}%`);
}

function backendText(backend: RouteBackend, except: ReadonlySet<UnreadPart>): string {
  const { namespace, name, port, error, redirect, path, host } = backend;
  if (redirect !== undefined) return `${redirect.status} ${withPath(redirect.location)}`;
  if (error !== undefined) return `status ${error.status}`;
  const spoken = SPOKEN[backend.protocol];
  const headers = headerTexts(backend.requestHeaders ?? []);
  const answers = except.has("responseHeaders") ? [] : headerTexts(backend.responseHeaders ?? []);
  const mirrors = except.has("mirrors") ? [] : (backend.mirrors ?? []).map(mirrorText).sort();
  const own = [
    spoken === "" ? "" : ` over ${spoken}`,
    path === undefined ? "" : ` at ${path}`,
    host === undefined ? "" : ` as ${host}`,
    headers.length === 0 ? "" : ` with ${headers.join(", ")}`,
    answers.length === 0 ? "" : ` answering with ${answers.join(", ")}`,
    mirrors.length === 0 ? "" : ` copied to ${mirrors.join(", ")}`,
  ];
  return `${namespace}/${name}:${port}${own.join("")}`;
}

/** A Service's port that one side names and the other numbers. */
export interface UnknownPort {
  readonly service: string;
  readonly named: string;
  readonly number: string;
}

/** Whether two fates are one; with `unknownPorts` they are so only if these ports are the same. */
export function compareFates(
  x: Fate,
  y: Fate,
): { readonly same: boolean; readonly unknownPorts: readonly UnknownPort[] } {
  const [ofX = [], ofY = []] = [x.backends, y.backends];
  const different = { same: false, unknownPorts: [] };
  if (ofX.length !== ofY.length) return different;
  if (JSON.stringify(rest(x)) !== JSON.stringify(rest(y))) return different;
  const unknownPorts: UnknownPort[] = [];
  for (const [i, text] of ofX.entries()) {
    const other = ofY[i] as string;
    if (text === other) continue;
    const unknown = unknownPort(text, other);
    if (unknown === undefined) return different;
    unknownPorts.push(unknown);
  }
  return { same: true, unknownPorts };
}

function rest(fate: Fate): unknown {
  const { status, location, backends, path, host, headers, session } = fate;
  const { responseHeaders, cors, mirrors } = fate;
  const answer = [responseHeaders, cors, mirrors];
  return [status, location, backends === undefined, path, host, headers, session, ...answer];
}

/** A port that one side names and the other numbers may be the same: nobody knows without the Service. */
function unknownPort(x: string, y: string): UnknownPort | undefined {
  const [one, other] = [x, y].map((text) => /^([^: ]*):([^: ]+)(.*)$/.exec(text)?.slice(1));
  if (one === undefined || other === undefined) return undefined;
  const [service = "", port = "", more] = one;
  const [otherService, otherPort = "", otherMore] = other;
  if (service !== otherService || more !== otherMore) return undefined;
  const [isNumber, otherIsNumber] = [port, otherPort].map((text) => /^[0-9]+$/.test(text));
  if (isNumber === otherIsNumber) return undefined;
  return isNumber === true
    ? { service, named: otherPort, number: port }
    : { service, named: port, number: otherPort };
}

/** As `shop/cart:80 at /items`, `308 https://shop.example.com/`, `404`. */
export function fateText(fate: Fate): string {
  if (fate.backends === undefined) {
    return [fate.status, fate.location].filter((part) => part !== undefined).join(" ");
  }
  return [
    fate.backends.join(", "),
    ...(fate.path === undefined ? [] : [`at ${fate.path}`]),
    ...(fate.host === undefined ? [] : [`as ${fate.host}`]),
    ...(fate.headers === undefined ? [] : [`with ${fate.headers.join(", ")}`]),
    ...(fate.responseHeaders === undefined
      ? []
      : [`answering with ${fate.responseHeaders.join(", ")}`]),
    ...(fate.cors === undefined ? [] : ["answering CORS"]),
    ...(fate.mirrors === undefined ? [] : [`copied to ${fate.mirrors.join(", ")}`]),
    ...(fate.session === undefined ? [] : [`kept by ${fate.session}`]),
  ].join(" ");
}
