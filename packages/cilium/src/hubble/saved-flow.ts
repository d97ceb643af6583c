import { InputError } from "@cnilab/core";
import type { Flow, FlowResponse } from "./flow.ts";
import type { FlowFilter } from "./flow-filter.ts";

/** What a value of JSON must be: a simple type, a list of one, or an object with these fields and any others. */
type Shape =
  | "string"
  | "number"
  | "boolean"
  | readonly [Shape]
  | { readonly [field: string]: Shape };

const IP: Shape = {
  source: "string",
  source_xlated: "string",
  destination: "string",
  ipVersion: "string",
  encrypted: "boolean",
};
const PORTS: Shape = { source_port: "number", destination_port: "number" };
const ICMP: Shape = { type: "number", code: "number" };
const TCP_FLAGS: Shape = {
  FIN: "boolean",
  SYN: "boolean",
  RST: "boolean",
  PSH: "boolean",
  ACK: "boolean",
};
const LAYER4: Shape = {
  TCP: { source_port: "number", destination_port: "number", flags: TCP_FLAGS },
  UDP: PORTS,
  SCTP: PORTS,
  ICMPv4: ICMP,
  ICMPv6: ICMP,
};
const WORKLOAD: Shape = { name: "string", kind: "string" };
const ENDPOINT: Shape = {
  ID: "number",
  identity: "number",
  cluster_name: "string",
  namespace: "string",
  labels: ["string"],
  pod_name: "string",
  workloads: [WORKLOAD],
};
const SERVICE: Shape = { name: "string", namespace: "string" };
const HEADER: Shape = { key: "string", value: "string" };
const POLICIES: Shape = [{ name: "string", namespace: "string", kind: "string" }];

const FLOW: Shape = {
  time: "string",
  uuid: "string",
  verdict: "string",
  drop_reason: "number",
  auth_type: "string",
  ethernet: { source: "string", destination: "string" },
  IP,
  l4: LAYER4,
  tunnel: { protocol: "string", IP, l4: LAYER4 },
  source: ENDPOINT,
  destination: ENDPOINT,
  node_name: "string",
  node_labels: ["string"],
  source_names: ["string"],
  destination_names: ["string"],
  l7: {
    type: "string",
    dns: { query: "string", observation_source: "string" },
    http: { code: "number", method: "string", url: "string", headers: [HEADER] },
    kafka: {},
  },
  event_type: { type: "number", sub_type: "number" },
  source_service: SERVICE,
  destination_service: SERVICE,
  traffic_direction: "string",
  policy_match_type: "number",
  drop_reason_desc: "string",
  is_reply: "boolean",
  debug_capture_point: "string",
  interface: { index: "number", name: "string" },
  trace_context: { parent: { trace_id: "string" } },
  sock_xlate_point: "string",
  Summary: "string",
  extensions: {},
  egress_allowed_by: POLICIES,
  ingress_allowed_by: POLICIES,
  egress_denied_by: POLICIES,
  ingress_denied_by: POLICIES,
};

const FILTER: Shape = {
  source_workload: [WORKLOAD],
  destination_workload: [WORKLOAD],
  interface: [{ index: "number", name: "string" }],
  event_type: [{ type: "number", match_sub_type: "boolean", sub_type: "number" }],
  reply: ["boolean"],
  source_identity: ["number"],
  destination_identity: ["number"],
  http_header: [HEADER],
  tcp_flags: [TCP_FLAGS],
  ...Object.fromEntries(
    [
      ..."uuid source_ip source_ip_xlated source_pod source_fqdn source_label source_service".split(
        " ",
      ),
      ..."source_cluster_name source_port destination_ip destination_pod destination_fqdn".split(
        " ",
      ),
      ..."destination_label destination_service destination_cluster_name destination_port".split(
        " ",
      ),
      ..."traffic_direction verdict drop_reason_desc http_status_code protocol dns_query".split(
        " ",
      ),
      ..."http_method http_path http_url node_name node_labels ip_version trace_id".split(" "),
    ].map((field) => [field, ["string"]] as const),
  ),
};

/** One line of what `hubble observe -o jsonpb` has saved; `undefined` for what is no flow. @throws InputError */
export function readSavedFlow(line: string, where: string): Flow | undefined {
  const response = parse(line, where, 'save flows with -o jsonpb, one a line, as {"flow":{…}}');
  check(response, { flow: FLOW, node_name: "string", time: "string" }, where, "");
  return (response as FlowResponse).flow;
}

/** A filter as `--allowlist` takes it. @throws InputError */
export function readFlowFilter(text: string, where: string): FlowFilter {
  const filter = parse(text, where, 'write {"source_pod":["shop/cart"]}');
  check(filter, FILTER, where, "");
  return filter as FlowFilter;
}

function parse(text: string, where: string, mend: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new InputError(`is not JSON; ${mend}`, where);
  }
}

function check(value: unknown, shape: Shape, where: string, path: string): void {
  const wrong = (what: string) =>
    new InputError(`${path === "" ? "" : `${path} `}must be ${what}`, where);
  if (typeof shape === "string") {
    if (typeof value !== shape) throw wrong(`a ${shape}`);
  } else if (Array.isArray(shape)) {
    if (!Array.isArray(value)) throw wrong("a list");
    value.forEach((each, i) => {
      check(each, shape[0] as Shape, where, `${path}[${i}]`);
    });
  } else {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw wrong("an object");
    }
    for (const [field, of] of Object.entries(shape)) {
      const each = (value as Readonly<Record<string, unknown>>)[field];
      if (each !== undefined) check(each, of, where, path === "" ? field : `${path}.${field}`);
    }
  }
}
