import { ProxyReport, type RuleSource } from "@cnilab/gateway";
import {
  EchoedRequest,
  type HttpHeaders,
  HttpResponse,
  headerOf,
  ProxyNote,
  ServerReport,
  type Trace,
} from "@cnilab/linux";
import { formatEndpoint, formatIp, IPPROTO_UDP } from "@cnilab/net";
import { namespaceName, placeOf } from "../trace/hops.ts";
import { type TraceLeg, traceLegs } from "../trace/legs.ts";
import type { NameOf } from "../trace/packet-text.ts";

/** One conversation on the way of a request. */
export interface HttpLeg {
  /** `DNS`, or the transport protocol. */
  readonly kind: string;
  /** Who began it, and with which source. */
  readonly from: string;
  readonly source: string | undefined;
  /** What was asked for, as `198.51.100.1:80`. */
  readonly asked: string | undefined;
  /** Machines and namespaces on the way, the client's first. */
  readonly way: readonly string[];
  /** Who was reached, at which address, and the source as it came there; `undefined` where nobody was. */
  readonly to: string | undefined;
  readonly arrivedAt: string | undefined;
  readonly seenAs: string | undefined;
  /** What was said and heard, as far as it has a meaning here. */
  readonly said: readonly string[];
  readonly heard: readonly string[];
}

/** What a request over HTTP came to, as data. Fields are only ever added. */
export interface HttpReport {
  /** `undefined` where there is no answer. */
  readonly status: number | undefined;
  readonly headers: HttpHeaders;
  readonly body: string;
  /** Who answered: `ns/pod`, `node/NAME`, `internet` or an address; `undefined` where the proxy did itself. */
  readonly backend: string | undefined;
  /** Address and port that the backend was asked at. */
  readonly backendAddress: string | undefined;
  /** `namespace/name:port` of the Service that the proxy chose. */
  readonly service: string | undefined;
  /** The proxy's pod, or what program of which node it is; `undefined` where there was none on the way. */
  readonly proxy: string | undefined;
  /** What the proxy decided by. */
  readonly rule: RuleSource | undefined;
  readonly why: string | undefined;
  /** Source address that the backend saw, and what it was told of the client's. */
  readonly seenAs: string | undefined;
  readonly forwardedFor: string | undefined;
  /** Source address that the proxy saw. */
  readonly proxySaw: string | undefined;
  readonly legs: readonly HttpLeg[];
}

/** @param ownerName how to call who has a socket, where it is no pod's */
export function httpReport(
  result: unknown,
  trace: Trace,
  nameOf: NameOf,
  ownerName: (report: ServerReport) => string,
): HttpReport {
  const response = result instanceof HttpResponse ? result : undefined;
  const notes = response?.notes ?? [];
  const echoed = notes.find((note) => note instanceof EchoedRequest);
  const server = echoed?.report ?? notes.find((note) => note instanceof ServerReport);
  const proxied = notes.findLast((note) => note instanceof ProxyReport);
  const decision = proxied?.decision;
  const passed = notes.findLast((note) => note instanceof ProxyNote);
  const via = proxied?.server ?? passed?.server;
  const backend = proxied?.backend;
  return {
    status: response?.status,
    headers: response?.headers ?? {},
    body: response?.body ?? "",
    backend: server === undefined ? undefined : podOf(server, ownerName),
    backendAddress: server && formatEndpoint(server.address, server.port),
    service: backend && `${backend.namespace}/${backend.name}:${backend.port}`,
    proxy: via && proxyName(via, ownerName),
    rule: backend?.by?.rule ?? decision?.rule,
    why: proxied?.why ? proxied.why : (backend?.by?.why ?? decision?.why ?? passed?.why),
    seenAs: server && formatIp(server.seenAddress),
    forwardedFor: echoed && headerOf(echoed.request.headers, "X-Forwarded-For"),
    proxySaw: via && formatIp(via.seenAddress),
    legs: traceLegs(trace).map((leg) => httpLeg(leg, nameOf)),
  };
}

/** `namespace/pod` of a container's program; whatever else it is otherwise. */
function podOf(report: ServerReport, ownerName: (report: ServerReport) => string): string {
  const [namespace, pod, container] = report.owner.split("/");
  return container === undefined ? ownerName(report) : `${namespace}/${pod}`;
}

/** A program that is in no pod of its own has its machine named. */
function proxyName(report: ServerReport, ownerName: (report: ServerReport) => string): string {
  const isPod = report.owner.split("/").length > 2;
  return isPod ? podOf(report, ownerName) : `${report.owner} on ${ownerName(report)}`;
}

const DNS_PORT = 53;

function httpLeg(leg: TraceLeg, nameOf: NameOf): HttpLeg {
  const { asked, arrived, server } = leg;
  const way = leg.places.map((netns) => namespaceName(netns, nameOf) ?? placeName(placeOf(netns)));
  const end = (at: typeof asked) =>
    at?.dstPort === undefined ? at?.dst : hostPort(at.dst, at.dstPort);
  const { localAddress, remoteAddress, remotePort, protocol } = leg.socket;
  const wanted =
    remoteAddress === undefined ? undefined : formatEndpoint(remoteAddress, remotePort);
  return {
    kind: remotePort === DNS_PORT ? "DNS" : protocol === IPPROTO_UDP ? "UDP" : "TCP",
    from: way[0] ?? "",
    // As the socket has them: the first device may come after the node's own rules.
    source: localAddress === undefined ? asked?.src : formatIp(localAddress),
    asked: wanted ?? end(asked),
    way,
    to: server === undefined ? undefined : way.at(-1),
    arrivedAt: server === undefined ? undefined : end(arrived),
    seenAs: server === undefined ? undefined : arrived?.src,
    said: leg.said,
    heard: leg.heard,
  };
}

/** A machine by its name alone. */
function placeName(place: string): string {
  return place.endsWith("/host") ? place.slice(0, -"/host".length) : place;
}

function hostPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A leg in one line; below it what a name server answered. */
export function legText(leg: HttpLeg): string {
  const { kind, from, source, asked, way, to, arrivedAt, seenAs, said, heard } = leg;
  const talk =
    kind === "DNS" ? (heard.length > 0 ? heard : said).map((t) => `\n           ${t}`) : [];
  const begin = `${kind} ${from}${source === undefined ? "" : ` ${source}`} -> ${asked ?? "nowhere"}`;
  const between = way.slice(1, to === undefined ? undefined : -1);
  const over = between.length === 0 ? "" : ` by ${between.join(", ")}`;
  if (to === undefined) return `${begin}${over}: lost${talk.join("")}`;
  const at = arrivedAt === asked ? "" : ` at ${arrivedAt}`;
  const as = seenAs === source ? "" : `, which sees ${seenAs}`;
  return `${begin}${over} to ${to}${at}${as}${talk.join("")}`;
}
