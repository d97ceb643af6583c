import { InputError } from "@cnilab/core";
import { type Prefix, tryParseIp, tryParsePrefix } from "@cnilab/net";
import { goExpression } from "../labels/go-expression.ts";
import { parseLabels } from "../labels/label-set.ts";
import {
  type Flow,
  type FlowEndpoint,
  type FlowHttpHeader,
  type FlowService,
  type FlowWorkload,
  TCP_FLAGS,
} from "./flow.ts";
import type { FlowFilter } from "./flow-filter.ts";
import { portsOf } from "./flow-text.ts";
import { readLabelExpression } from "./label-expression.ts";
import { MESSAGE_TYPE } from "./monitor-messages.ts";
import { namePattern, nodeNamePattern } from "./name-pattern.ts";

export type FlowPredicate = (flow: Flow) => boolean;

/** Flows that one of `allow` lets through, or all where there is none, and that none of `deny` does. @throws InputError */
export function flowPredicate(
  allow: readonly FlowFilter[],
  deny: readonly FlowFilter[] = [],
): FlowPredicate {
  const allowed = allow.map(filterPredicate);
  const denied = deny.map(filterPredicate);
  return (flow) =>
    (allowed.length === 0 || allowed.some((lets) => lets(flow))) &&
    !denied.some((lets) => lets(flow));
}

/** What each field of a filter asks for; errors name the flag that sets it. */
type FieldPredicates = {
  readonly [Field in keyof FlowFilter]-?: (
    values: NonNullable<FlowFilter[Field]>,
    filter: FlowFilter,
  ) => FlowPredicate;
};

const FIELDS: FieldPredicates = {
  uuid: (uuids) => (flow) => uuids.includes(flow.uuid ?? ""),
  event_type: (types) => (flow) => {
    const { event_type } = flow;
    if (event_type === undefined) return false;
    return types.some(
      ({ type = 0, match_sub_type = false, sub_type = 0 }) =>
        (type === 0 || type === event_type.type) &&
        (!match_sub_type || sub_type === (event_type.sub_type ?? 0)),
    );
  },
  verdict: (verdicts) => (flow) => verdicts.includes(flow.verdict ?? "VERDICT_UNKNOWN"),
  drop_reason_desc: (reasons) => (flow) =>
    flow.verdict === "DROPPED" && reasons.includes(flow.drop_reason_desc ?? "DROP_REASON_UNKNOWN"),
  reply: (replies) => (flow) => flow.is_reply !== undefined && replies.includes(flow.is_reply),
  source_identity: (ids) => (flow) => hasIdentity(flow.source, ids),
  destination_identity: (ids) => (flow) => hasIdentity(flow.destination, ids),
  protocol: byProtocol,
  source_ip: (ips) => byAddress(ips, "--from-ip", (flow) => flow.IP?.source),
  source_ip_xlated: (ips) => byAddress(ips, "--snat-ip", (flow) => flow.IP?.source_xlated),
  destination_ip: (ips) => byAddress(ips, "--to-ip", (flow) => flow.IP?.destination),
  ip_version: (versions) => (flow) => versions.includes(flow.IP?.ipVersion ?? "IP_NOT_USED"),
  source_pod: (names) => byName(names, "--from-pod", (flow) => podOf(flow.source)),
  destination_pod: (names) => byName(names, "--to-pod", (flow) => podOf(flow.destination)),
  source_workload: (workloads) => (flow) => hasWorkload(flow.source, workloads),
  destination_workload: (workloads) => (flow) => hasWorkload(flow.destination, workloads),
  source_service: (names) => byName(names, "--from-service", (flow) => flow.source_service),
  destination_service: (names) => byName(names, "--to-service", (flow) => flow.destination_service),
  source_fqdn: (patterns) => {
    const pattern = namePattern(patterns, "--from-fqdn");
    return (flow) => (flow.source_names ?? []).some((name) => pattern.test(name));
  },
  destination_fqdn: (patterns) => {
    const pattern = namePattern(patterns, "--to-fqdn");
    return (flow) => (flow.destination_names ?? []).some((name) => pattern.test(name));
  },
  dns_query: (patterns) => {
    const queries = patterns.map((pattern) => regularExpression(pattern, "dns_query"));
    return ({ l7 }) => l7?.dns !== undefined && matchesOne(queries, l7.dns.query ?? "");
  },
  source_label: (texts) => byLabels(texts, "--from-label", (flow) => flow.source?.labels),
  destination_label: (texts) => byLabels(texts, "--to-label", (flow) => flow.destination?.labels),
  node_labels: (texts) => byLabels(texts, "--node-label", (flow) => flow.node_labels),
  source_port: (ports) => byPort(ports, "--from-port", "source_port"),
  destination_port: (ports) => byPort(ports, "--to-port", "destination_port"),
  http_status_code: byStatusCode,
  http_method: (methods, filter) => {
    needsL7(filter, "--http-method");
    const upper = methods.map((method) => method.toUpperCase());
    return ({ l7 }) => upper.includes((l7?.http?.method ?? "").toUpperCase()) && !!l7?.http?.method;
  },
  http_url: (patterns, filter) => {
    needsL7(filter, "--http-url");
    const urls = patterns.map((pattern) => regularExpression(pattern, "--http-url"));
    return ({ l7 }) => (l7?.http?.url ?? "") !== "" && matchesOne(urls, l7?.http?.url ?? "");
  },
  http_path: (patterns, filter) => {
    needsL7(filter, "--http-path");
    const paths = patterns.map((pattern) => regularExpression(pattern, "--http-path"));
    return ({ l7 }) => {
      const path = pathOf(l7?.http?.url ?? "");
      return path !== undefined && matchesOne(paths, path);
    };
  },
  http_header: (headers, filter) => {
    needsL7(filter, "--http-header");
    return ({ l7 }) => (l7?.http?.headers ?? []).some((header) => hasHeader(headers, header));
  },
  tcp_flags:
    (flags) =>
    ({ l4 }) => {
      const set = l4?.TCP?.flags;
      if (set === undefined) return false;
      return flags.some((asked) => TCP_FLAGS.every((flag) => asked[flag] !== true || set[flag]));
    },
  node_name: (patterns) => {
    const pattern = nodeNamePattern(patterns, "--node-name");
    return ({ node_name = "" }) =>
      node_name !== "" &&
      pattern.test(node_name.includes("/") ? node_name : `default/${node_name}`);
  },
  source_cluster_name: (names) => (flow) => names.includes(flow.source?.cluster_name ?? ""),
  destination_cluster_name: (names) => (flow) =>
    names.includes(flow.destination?.cluster_name ?? ""),
  traffic_direction: (directions) => (flow) =>
    directions.includes(flow.traffic_direction ?? "TRAFFIC_DIRECTION_UNKNOWN"),
  trace_id: (ids) => (flow) => ids.includes(flow.trace_context?.parent?.trace_id ?? ""),
  interface: (interfaces) => (flow) =>
    flow.interface !== undefined &&
    interfaces.some(
      ({ index = 0, name = "" }) =>
        (index === 0 || index === flow.interface?.index) &&
        (name === "" || name === flow.interface?.name),
    ),
};

function filterPredicate(filter: FlowFilter): FlowPredicate {
  const all: FlowPredicate[] = [];
  for (const field of Object.keys(filter) as (keyof FlowFilter)[]) {
    const values = filter[field];
    const make = FIELDS[field] as
      | ((values: unknown, filter: FlowFilter) => FlowPredicate)
      | undefined;
    if (make === undefined) {
      throw new InputError(
        `"${field}" is no field of a filter; there are ${Object.keys(FIELDS).join(", ")}`,
        "FlowFilter",
      );
    }
    if (!Array.isArray(values)) throw new InputError("must be a list", `FlowFilter.${field}`);
    if (values.length > 0) all.push(make(values, filter));
  }
  return (flow) => all.every((lets) => lets(flow));
}

function hasIdentity(endpoint: FlowEndpoint | undefined, identities: readonly number[]): boolean {
  return endpoint !== undefined && identities.includes(endpoint.identity ?? 0);
}

const PROTOCOLS: Readonly<Record<string, FlowPredicate>> = {
  icmp: ({ l4 }) => l4?.ICMPv4 !== undefined || l4?.ICMPv6 !== undefined,
  icmpv4: ({ l4 }) => l4?.ICMPv4 !== undefined,
  icmpv6: ({ l4 }) => l4?.ICMPv6 !== undefined,
  tcp: ({ l4 }) => l4?.TCP !== undefined,
  udp: ({ l4 }) => l4?.UDP !== undefined,
  sctp: ({ l4 }) => l4?.SCTP !== undefined,
  dns: ({ l7 }) => l7?.dns !== undefined,
  http: ({ l7 }) => l7?.http !== undefined,
  kafka: ({ l7 }) => l7?.kafka !== undefined,
};

function byProtocol(names: readonly string[]): FlowPredicate {
  const protocols = names.map((name) => {
    const protocol = PROTOCOLS[name.toLowerCase()];
    if (protocol !== undefined) return protocol;
    throw new InputError(
      `"${name}" is none; there are ${Object.keys(PROTOCOLS).join(", ")}`,
      "--protocol",
    );
  });
  return (flow) => protocols.some((is) => is(flow));
}

/** Addresses are compared as texts, as Hubble does: write IPv6 in its short form. */
function byAddress(
  texts: readonly string[],
  flag: string,
  get: (flow: Flow) => string | undefined,
): FlowPredicate {
  const addresses = new Set<string>();
  const prefixes: Prefix[] = [];
  for (const text of texts) {
    const prefix = text.includes("/") ? tryParsePrefix(text) : undefined;
    if (prefix !== undefined) prefixes.push(prefix);
    else if (!text.includes("/") && tryParseIp(text) !== undefined) addresses.add(text);
    else
      throw new InputError(`"${text}" is no address and no range, as 10.0.0.1 or 10.0.0.0/8`, flag);
  }
  return (flow) => {
    const address = get(flow) ?? "";
    if (addresses.has(address)) return true;
    if (prefixes.length === 0 || address === "") return false;
    const parsed = tryParseIp(address);
    return parsed !== undefined && prefixes.some((prefix) => prefix.contains(parsed));
  };
}

function podOf(endpoint: FlowEndpoint | undefined): FlowService | undefined {
  if (endpoint === undefined) return undefined;
  return { name: endpoint.pod_name ?? "", namespace: endpoint.namespace ?? "" };
}

/** `ns/name`, where the name is the start of one; `name` is in `default`, and `/name` in any namespace. */
function byName(
  texts: readonly string[],
  flag: string,
  get: (flow: Flow) => FlowService | undefined,
): FlowPredicate {
  const wanted = texts.map((text) => {
    if (text === "") throw new InputError("needs a name, as ns/pod", flag);
    const [first = "", second] = text.split("/");
    return second === undefined
      ? { namespace: "default", start: first }
      : { namespace: first, start: second };
  });
  return (flow) => {
    const { name = "", namespace = "" } = get(flow) ?? {};
    if (name === "" && namespace === "") return false;
    return wanted.some(
      (each) =>
        name.startsWith(each.start) && (each.namespace === "" || each.namespace === namespace),
    );
  };
}

function hasWorkload(endpoint: FlowEndpoint | undefined, wanted: readonly FlowWorkload[]): boolean {
  return (endpoint?.workloads ?? []).some((workload) =>
    wanted.some(
      ({ name = "", kind = "" }) =>
        (name === "" || name === workload.name) && (kind === "" || kind === workload.kind),
    ),
  );
}

function byLabels(
  texts: readonly string[],
  flag: string,
  get: (flow: Flow) => readonly string[] | undefined,
): FlowPredicate {
  const selectors = texts.map((text) => readLabelExpression(text, flag));
  return (flow) => {
    const labels = parseLabels(get(flow) ?? []);
    return selectors.some((selector) => selector.matches(labels));
  };
}

function byPort(
  texts: readonly string[],
  flag: string,
  which: "source_port" | "destination_port",
): FlowPredicate {
  const ports = texts.map((text) => {
    const port = Number(text);
    if (/^\d+$/.test(text) && port <= 65_535) return port;
    throw new InputError(`"${text}" is no port; it must be from 0 to 65535`, flag);
  });
  return (flow) => {
    const of = portsOf(flow);
    return of !== undefined && ports.includes(of[which] ?? 0);
  };
}

function byStatusCode(texts: readonly string[], filter: FlowFilter): FlowPredicate {
  needsL7(filter, "--http-status");
  for (const text of texts) {
    if (!/^[1-5]([0-9]{2}|[0-9]?\+)$/.test(text)) {
      throw new InputError(`"${text}" is no status; write one as 404, 40+ or 5+`, "--http-status");
    }
  }
  return ({ l7 }) => {
    const code = l7?.http?.code ?? 0;
    if (code === 0) return false;
    const status = String(code).padStart(3, "0");
    return texts.some((text) =>
      text.endsWith("+") ? status.startsWith(text.slice(0, -1)) : status === text,
    );
  };
}

/** What only some events have must not be asked of others. */
function needsL7({ event_type = [] }: FlowFilter, flag: string): void {
  if (event_type.length === 0 || event_type.some(({ type }) => type === MESSAGE_TYPE.l7)) return;
  throw new InputError("asks for HTTP, which only events of --type l7 have", flag);
}

function pathOf(url: string): string | undefined {
  if (url.startsWith("/")) return url.replace(/[?#].*$/, "");
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url)?.[1];
}

function hasHeader(
  wanted: readonly FlowHttpHeader[],
  { key = "", value = "" }: FlowHttpHeader,
): boolean {
  return wanted.some((header) => (header.key ?? "") === key && (header.value ?? "") === value);
}

function regularExpression(pattern: string, flag: string): RegExp {
  try {
    return goExpression(pattern);
  } catch {
    throw new InputError(`"${pattern}" is no regular expression`, flag);
  }
}

function matchesOne(patterns: readonly RegExp[], text: string): boolean {
  return patterns.some((pattern) => pattern.test(text));
}
