import { formatIp } from "@cnilab/net";
import type { AccessLogMessage, DnsLog, HttpLog } from "./access-log-message.ts";
import type { Flow, FlowLayer7 } from "./flow.ts";
import type { FlowLookups } from "./flow-lookups.ts";
import { flowTime } from "./flow-time.ts";
import { MESSAGE_TYPE } from "./monitor-messages.ts";

const VERDICTS = { FORWARDED: "FORWARDED", DENIED: "DROPPED", ERROR: "ERROR" } as const;

/** The flow that a line of a proxy's access log tells of (pkg/hubble/parser/seven). */
export function l7Flow(message: AccessLogMessage, lookups: FlowLookups): Flow {
  const { node, source: from, destination: to, transport, kind, ingress } = message;
  const source = lookups.endpoint(from.address, from.identity, node);
  const destination = lookups.endpoint(to.address, to.identity, node);
  const sourceNames = lookups.names(destination, from.address);
  const destinationNames = lookups.names(source, to.address);
  const sourceService = lookups.service(from.address, from.port);
  const destinationService = lookups.service(to.address, to.port);
  const reply = kind === "RESPONSE";
  return {
    time: flowTime(message.time),
    uuid: lookups.uuid(),
    verdict: VERDICTS[message.verdict],
    IP: {
      source: formatIp(from.address),
      destination: formatIp(to.address),
      ipVersion: typeof from.address === "number" ? "IPv4" : "IPv6",
    },
    l4: { [transport]: { source_port: from.port, destination_port: to.port } },
    source,
    destination,
    Type: "L7",
    node_name: node,
    ...(sourceNames.length === 0 ? {} : { source_names: sourceNames }),
    ...(destinationNames.length === 0 ? {} : { destination_names: destinationNames }),
    l7: layer7(message),
    ...(reply && { reply }),
    event_type: { type: MESSAGE_TYPE.l7 },
    ...(sourceService && { source_service: sourceService }),
    ...(destinationService && { destination_service: destinationService }),
    traffic_direction: ingress ? "INGRESS" : "EGRESS",
    is_reply: reply,
    Summary: summary(message),
  };
}

function layer7({ kind, http, dns }: AccessLogMessage): FlowLayer7 {
  const latency = http?.latencyMs ?? 0;
  return {
    type: kind,
    ...(latency > 0 && { latency_ns: String(Math.round(latency * 1e6)) }),
    ...(http && { http: httpFields(http) }),
    ...(dns && { dns: dnsFields(dns, kind) }),
  };
}

function httpFields({
  code,
  method,
  url,
  protocol,
  headers,
}: HttpLog): NonNullable<FlowLayer7["http"]> {
  const lines = Object.entries(headers).map(([key, value]) => ({ key: canonical(key), value }));
  lines.sort((x, y) => (x.key < y.key ? -1 : 1));
  return {
    ...(code > 0 && { code }),
    method,
    url,
    protocol,
    ...(lines.length > 0 && { headers: lines }),
  };
}

/** `x-request-id` is `X-Request-Id` (net/http CanonicalHeaderKey). */
function canonical(key: string): string {
  return key.toLowerCase().replace(/(^|-)[a-z]/g, (first) => first.toUpperCase());
}

function dnsFields(dns: DnsLog, kind: AccessLogMessage["kind"]): NonNullable<FlowLayer7["dns"]> {
  const asked = {
    query: dns.query,
    observation_source: "proxy",
    qtypes: dns.questionTypes,
  };
  if (kind === "REQUEST") return asked;
  const { ips, ttl, cnames, rcode, answerTypes } = dns;
  return {
    ...asked,
    ...(ips.length > 0 && { ips: ips.map(formatIp) }),
    ...(ttl > 0 && { ttl }),
    ...(cnames.length > 0 && { cnames }),
    ...(rcode > 0 && { rcode }),
    ...(answerTypes.length > 0 && { rrtypes: answerTypes }),
  };
}

function summary({ kind, http, dns }: AccessLogMessage): string {
  if (http !== undefined) {
    const { protocol, method, url, code, latencyMs } = http;
    if (kind === "REQUEST") return `${protocol} ${method} ${url}`;
    return `${protocol} ${code} ${Math.floor(latencyMs)}ms (${method} ${url})`;
  }
  if (dns === undefined) return "";
  const types = dns.questionTypes.join(",");
  if (kind === "REQUEST") return `DNS Query ${dns.query} ${types}`;
  return `DNS Answer ${answerText(dns)} TTL: ${dns.ttl} (Proxy ${dns.query} ${types})`;
}

function answerText({ rcode, ips, cnames }: DnsLog): string {
  if (rcode !== 0) return `RCode: ${RCODE_TEXTS[rcode] ?? "Unknown"}`;
  const parts: string[] = [];
  if (ips.length > 0) parts.push(`"${ips.map(formatIp).join(",")}"`);
  if (cnames.length > 0) parts.push(`CNAMEs: "${cnames.join(",")}"`);
  return parts.join(" ");
}

/** As gopacket's `layers.DNSResponseCode` prints them. */
const RCODE_TEXTS: Readonly<Record<number, string>> = {
  1: "Format Error",
  2: "Server Failure ",
  3: "Non-Existent Domain",
  4: "Not Implemented",
  5: "Query Refused",
  6: "Name Exists when it should not",
  7: "RR Set Exists when it should not",
  8: "RR Set that should exist does not",
  9: "Server Not Authoritative for zone",
  10: "Name not contained in zone",
  16: "Bad OPT Version",
};
