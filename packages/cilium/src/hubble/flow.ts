// Hubble's Flow as its JSON has it (api/v1/flow/flow.proto): what Hubble exports, relays and prints. Fields without a
// value are absent, numbers that are 0 too.

export type Verdict =
  | "VERDICT_UNKNOWN"
  | "FORWARDED"
  | "DROPPED"
  | "ERROR"
  | "AUDIT"
  | "REDIRECTED"
  | "TRACED"
  | "TRANSLATED";

export const VERDICTS: readonly Verdict[] = [
  "VERDICT_UNKNOWN",
  "FORWARDED",
  "DROPPED",
  "ERROR",
  "AUDIT",
  "REDIRECTED",
  "TRACED",
  "TRANSLATED",
];

export type TrafficDirection = "TRAFFIC_DIRECTION_UNKNOWN" | "INGRESS" | "EGRESS";

export interface FlowIp {
  readonly source?: string;
  /** The source after SNAT, where the program knows of both. */
  readonly source_xlated?: string;
  readonly destination?: string;
  readonly ipVersion?: "IP_NOT_USED" | "IPv4" | "IPv6";
  readonly encrypted?: boolean;
}

export const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "NS"] as const;

export type TcpFlags = Readonly<Partial<Record<(typeof TCP_FLAGS)[number], boolean>>>;

export interface FlowPorts {
  readonly source_port?: number;
  readonly destination_port?: number;
}

export interface FlowIcmp {
  readonly type?: number;
  readonly code?: number;
}

/** One of these. */
export interface FlowLayer4 {
  readonly TCP?: FlowPorts & { readonly flags?: TcpFlags };
  readonly UDP?: FlowPorts;
  readonly SCTP?: FlowPorts;
  readonly ICMPv4?: FlowIcmp;
  readonly ICMPv6?: FlowIcmp;
}

export interface FlowWorkload {
  readonly name?: string;
  readonly kind?: string;
}

export interface FlowEndpoint {
  /** The endpoint's number on its node. */
  readonly ID?: number;
  readonly identity?: number;
  readonly cluster_name?: string;
  readonly namespace?: string;
  readonly labels?: readonly string[];
  readonly pod_name?: string;
  readonly workloads?: readonly FlowWorkload[];
}

export interface FlowService {
  readonly name?: string;
  readonly namespace?: string;
}

export interface FlowHttpHeader {
  readonly key?: string;
  readonly value?: string;
}

/** One of dns, http and kafka. */
export interface FlowLayer7 {
  readonly type?: "UNKNOWN_L7_TYPE" | "REQUEST" | "RESPONSE" | "SAMPLE";
  readonly latency_ns?: string | number;
  readonly dns?: {
    readonly query?: string;
    readonly ips?: readonly string[];
    readonly ttl?: number;
    readonly cnames?: readonly string[];
    readonly observation_source?: string;
    readonly rcode?: number;
    readonly qtypes?: readonly string[];
    readonly rrtypes?: readonly string[];
  };
  readonly http?: {
    readonly code?: number;
    readonly method?: string;
    readonly url?: string;
    readonly protocol?: string;
    readonly headers?: readonly FlowHttpHeader[];
  };
  readonly kafka?: object;
}

export interface FlowPolicy {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: readonly string[];
  readonly revision?: string | number;
  readonly kind?: string;
}

export interface Flow {
  /** RFC 3339. */
  readonly time?: string;
  readonly uuid?: string;
  readonly verdict?: Verdict;
  /** As in `drop-reasons.ts`. */
  readonly drop_reason?: number;
  readonly auth_type?: "DISABLED" | "SPIRE" | "TEST_ALWAYS_FAIL";
  readonly ethernet?: { readonly source?: string; readonly destination?: string };
  readonly IP?: FlowIp;
  readonly l4?: FlowLayer4;
  readonly tunnel?: {
    readonly protocol?: "UNKNOWN" | "VXLAN" | "GENEVE";
    readonly IP?: FlowIp;
    readonly l4?: FlowLayer4;
  };
  readonly source?: FlowEndpoint;
  readonly destination?: FlowEndpoint;
  readonly Type?: "UNKNOWN_TYPE" | "L3_L4" | "L7" | "SOCK";
  readonly node_name?: string;
  readonly node_labels?: readonly string[];
  readonly source_names?: readonly string[];
  readonly destination_names?: readonly string[];
  readonly l7?: FlowLayer7;
  readonly reply?: boolean;
  /** Which message it was made of (`MESSAGE_TYPE`), and what that says about itself. */
  readonly event_type?: { readonly type?: number; readonly sub_type?: number };
  readonly source_service?: FlowService;
  readonly destination_service?: FlowService;
  readonly traffic_direction?: TrafficDirection;
  readonly policy_match_type?: number;
  readonly trace_observation_point?: string;
  readonly trace_reason?: string;
  readonly drop_reason_desc?: string;
  /** Absent where nobody knows. */
  readonly is_reply?: boolean;
  readonly debug_capture_point?: string;
  readonly interface?: { readonly index?: number; readonly name?: string };
  readonly proxy_port?: number;
  readonly trace_context?: { readonly parent?: { readonly trace_id?: string } };
  readonly sock_xlate_point?: string;
  readonly socket_cookie?: string | number;
  readonly cgroup_id?: string | number;
  readonly Summary?: string;
  /** What Flow has no field for: of a packet that the kernel dropped, the kernel's own reason and the rule. */
  readonly extensions?: FlowExtensions;
  readonly egress_allowed_by?: readonly FlowPolicy[];
  readonly ingress_allowed_by?: readonly FlowPolicy[];
  readonly egress_denied_by?: readonly FlowPolicy[];
  readonly ingress_denied_by?: readonly FlowPolicy[];
  readonly policy_log?: readonly string[];
}

/** Packed as protobuf's `Any` is, which names its type. */
export interface FlowExtensions {
  readonly "@type": string;
  readonly [field: string]: unknown;
}

/** One line of `hubble observe -o jsonpb` (`GetFlowsResponse`). */
export interface FlowResponse {
  readonly flow?: Flow;
  readonly node_name?: string;
  readonly time?: string;
}
