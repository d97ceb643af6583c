/** What a message of the monitor is (pkg/monitor/api `MessageType*`). */
export const MESSAGE_TYPE = {
  drop: 1,
  debug: 2,
  capture: 3,
  trace: 4,
  "policy-verdict": 5,
  recorder: 6,
  "trace-sock": 7,
  l7: 129,
  agent: 130,
} as const;

export type MessageTypeName = keyof typeof MESSAGE_TYPE;

/** Where programs report packets that go on (`TRACE_TO_LXC` … of bpf/lib/trace.h), by their numbers. */
export const TRACE_POINTS = [
  "to-endpoint",
  "to-proxy",
  "to-host",
  "to-stack",
  "to-overlay",
  "from-endpoint",
  "from-proxy",
  "from-host",
  "from-stack",
  "from-overlay",
  "from-network",
  "to-network",
  "from-crypto",
  "to-crypto",
] as const;

export type TracePoint = (typeof TRACE_POINTS)[number];

export function tracePointText(point: number): string {
  return TRACE_POINTS[point] ?? String(point);
}

/** As Flow's `trace_observation_point` names it. */
export function tracePointName(point: number): string {
  return TRACE_POINTS[point]?.toUpperCase().replace("-", "_") ?? "UNKNOWN_POINT";
}

/** How specific the policy entry was that decided, by number (`PolicyMatch*`). */
const POLICY_MATCH_TYPES = [
  "none",
  "L3-Only",
  "L3-L4",
  "L4-Only",
  "all",
  "L3-Proto",
  "Proto-Only",
] as const;

export function policyMatchText(matchType: number): string {
  return POLICY_MATCH_TYPES[matchType] ?? "unknown";
}

/** What connection tracking said of a traced packet (`TRACE_REASON_*`); bit 0x80 says that it is encrypted. */
export const TRACE_REASON = {
  policy: 0,
  ctEstablished: 1,
  ctReply: 2,
  ctRelated: 3,
  unknown: 5,
  srv6Encap: 6,
  srv6Decap: 7,
  encryptOverlay: 8,
} as const;

/** The names of Flow's `trace_reason`: those of the numbers before `unknown` stand one later there. */
const TRACE_REASON_NAMES: ReadonlyMap<number, string> = new Map([
  [TRACE_REASON.policy, "NEW"],
  [TRACE_REASON.ctEstablished, "ESTABLISHED"],
  [TRACE_REASON.ctReply, "REPLY"],
  [TRACE_REASON.ctRelated, "RELATED"],
  [TRACE_REASON.srv6Encap, "SRV6_ENCAP"],
  [TRACE_REASON.srv6Decap, "SRV6_DECAP"],
  [TRACE_REASON.encryptOverlay, "ENCRYPT_OVERLAY"],
]);

export function traceReasonName(reason: number): string {
  return TRACE_REASON_NAMES.get(reason) ?? "TRACE_REASON_UNKNOWN";
}
