import { RESERVED_NAMES } from "../identity/reserved-identities.ts";
import { dropReasonText } from "./drop-reasons.ts";
import type { Flow, FlowPolicy, FlowPorts } from "./flow.ts";
import { kernelDropOf } from "./kernel-drop.ts";
import { MESSAGE_TYPE, policyMatchText, tracePointText } from "./monitor-messages.ts";

/** Source and destination of a flow, each as one text. */
export interface FlowEnds {
  readonly source: string;
  readonly destination: string;
}

/**
 * Who spoke to whom, with ports where the protocol has them: pod, else Service, else names of DNS, else address
 * (hubble/pkg/printer GetHostNames). Frames without an IP packet have MACs.
 */
export function flowEnds(flow: Flow, translate: boolean): FlowEnds {
  const { IP: ip, ethernet } = flow;
  if (ip === undefined) {
    return { source: ethernet?.source ?? "", destination: ethernet?.destination ?? "" };
  }
  const { source_port = 0, destination_port = 0 } = portsOf(flow) ?? {};
  return {
    source: end(ip.source ?? "", source_port, translate, {
      ...flow.source,
      service: flow.source_service,
      names: flow.source_names,
    }),
    destination: end(ip.destination ?? "", destination_port, translate, {
      ...flow.destination,
      service: flow.destination_service,
      names: flow.destination_names,
    }),
  };
}

interface EndNames {
  readonly namespace?: string;
  readonly pod_name?: string;
  readonly service: Flow["source_service"];
  readonly names: readonly string[] | undefined;
}

function end(
  address: string,
  port: number,
  translate: boolean,
  { namespace = "", pod_name = "", service, names = [] }: EndNames,
): string {
  // A Service's namespace takes the place of the pod's, also before the pod's name.
  const ns = service === undefined ? namespace : (service.namespace ?? "");
  let host = address;
  if (translate) {
    if (pod_name !== "") host = slashed(ns, pod_name);
    else if ((service?.name ?? "") !== "") host = slashed(ns, service?.name ?? "");
    else if (names.length > 0) host = names.join(",");
  }
  if (port === 0) return host;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function slashed(namespace: string, name: string): string {
  return namespace === "" ? name : `${namespace}/${name}`;
}

export function portsOf({ l4 }: Flow): FlowPorts | undefined {
  return l4?.TCP ?? l4?.UDP ?? l4?.SCTP;
}

/** `(ID:30001)`, or `(host)` of a reserved identity. */
export function identityText(identity: number): string {
  return `(${identityName(identity) ?? `ID:${identity}`})`;
}

/** Its printer does not know the one that is only used between nodes. */
function identityName(identity: number): string | undefined {
  const name = RESERVED_NAMES.get(identity);
  return name === "overlay-to-encrypt" ? undefined : name;
}

/** What kind of event it was: a trace point, a drop's reason, `policy-verdict:L3-L4 INGRESS`, `http-request`. */
export function flowType(flow: Flow): string {
  const { l7 } = flow;
  if (l7 !== undefined) {
    const type = (l7.type ?? "UNKNOWN_L7_TYPE").toLowerCase();
    if (l7.http !== undefined) return `http-${type}`;
    if (l7.dns !== undefined) return `dns-${type} ${l7.dns.observation_source ?? ""}`;
    return `${l7.kafka === undefined ? "l7" : "kafka"}-${type}`;
  }
  const { type, sub_type = 0 } = flow.event_type ?? {};
  switch (type) {
    case MESSAGE_TYPE.trace:
      return tracePointText(sub_type);
    case MESSAGE_TYPE.drop:
      return (sub_type === 0 ? kernelDropOf(flow)?.reason : undefined) ?? dropReasonText(sub_type);
    case MESSAGE_TYPE["policy-verdict"]: {
      const match = policyMatchText(flow.policy_match_type ?? 0);
      return `policy-verdict:${match} ${flow.traffic_direction ?? "TRAFFIC_DIRECTION_UNKNOWN"}`;
    }
    case MESSAGE_TYPE.capture:
      return flow.debug_capture_point ?? "DBG_CAPTURE_POINT_UNKNOWN";
    case MESSAGE_TYPE["trace-sock"]:
      return socketPointText(flow.sock_xlate_point ?? "SOCK_XLATE_POINT_UNKNOWN");
    default:
      return "UNKNOWN";
  }
}

/** `SOCK_XLATE_POINT_PRE_DIRECTION_FWD` is `pre-xlate-fwd`. */
function socketPointText(point: string): string {
  const [, when, way] = /^SOCK_XLATE_POINT_(PRE|POST)_DIRECTION_(FWD|REV)$/.exec(point) ?? [];
  if (when === undefined || way === undefined) return point;
  return `${when.toLowerCase()}-xlate-${way.toLowerCase()}`;
}

/** Verdicts of policies have words of their own. @param policyNames adds which policies decided */
export function verdictText(flow: Flow, policyNames: boolean): string {
  const verdict = flow.verdict ?? "VERDICT_UNKNOWN";
  if (flow.event_type?.type !== MESSAGE_TYPE["policy-verdict"]) return verdict;
  const ingress = flow.traffic_direction === "INGRESS";
  const egress = flow.traffic_direction === "EGRESS";
  const by = (of: readonly FlowPolicy[] | undefined) => (policyNames ? policyText(of ?? []) : "");
  switch (verdict) {
    case "FORWARDED":
    case "REDIRECTED":
      return `ALLOWED${by(egress ? flow.egress_allowed_by : ingress ? flow.ingress_allowed_by : [])}`;
    case "DROPPED":
    case "ERROR":
      return `DENIED${by(egress ? flow.egress_denied_by : ingress ? flow.ingress_denied_by : [])}`;
    case "AUDIT":
      return "AUDITED";
    default:
      return verdict;
  }
}

function policyText(policies: readonly FlowPolicy[]): string {
  const named = policies.filter(({ kind = "", name = "" }) => kind !== "" && name !== "");
  if (named.length === 0) return "";
  return ` BY ${named.map(({ name, kind }) => `${name} (${kind})`).join(", ")}`;
}

/** What the packet itself says, and how its ends proved who they are. */
export function summaryText({ Summary = "", auth_type = "DISABLED" }: Flow): string {
  return auth_type === "DISABLED" ? Summary : `${Summary}; Auth: ${auth_type}`;
}
