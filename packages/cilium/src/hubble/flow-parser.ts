import { formatIp } from "@cnilab/net";
import { dropReasonName } from "./drop-reasons.ts";
import type { Flow, TrafficDirection, Verdict } from "./flow.ts";
import { flowLayers } from "./flow-layers.ts";
import type { FlowLookups } from "./flow-lookups.ts";
import { flowTime } from "./flow-time.ts";
import { kernelDropExtension } from "./kernel-drop.ts";
import { l7Flow } from "./l7-flow.ts";
import type {
  DropMessage,
  MonitorMessage,
  PolicyVerdictMessage,
  TraceMessage,
  TraceSockMessage,
} from "./monitor-message.ts";
import { MESSAGE_TYPE, TRACE_REASON, tracePointName, traceReasonName } from "./monitor-messages.ts";

/** The flow that a message tells of (pkg/hubble/parser/threefour; sockets: parser/sock, access logs: parser/seven). */
export function flowOf(message: MonitorMessage, lookups: FlowLookups): Flow {
  if (message.type === MESSAGE_TYPE.l7) return l7Flow(message, lookups);
  return message.type === MESSAGE_TYPE["trace-sock"]
    ? socketFlow(message, lookups)
    : packetFlow(message, lookups);
}

function packetFlow(
  message: DropMessage | TraceMessage | PolicyVerdictMessage,
  lookups: FlowLookups,
): Flow {
  const { node, frame, l3 = false } = message;
  const { fields, src: headerSrc, dst, srcPort, dstPort } = flowLayers(frame, l3);
  const origIp = message.type === MESSAGE_TYPE.trace ? message.origIp : undefined;
  const translated = origIp !== undefined && headerSrc !== undefined && origIp !== headerSrc;
  const src = translated ? origIp : headerSrc;
  const [srcLabel, dstLabel] = identities(message);
  const source = src === undefined ? {} : lookups.endpoint(src, srcLabel, node);
  const destination = dst === undefined ? {} : lookups.endpoint(dst, dstLabel, node);
  const IP =
    fields.IP === undefined
      ? undefined
      : {
          ...fields.IP,
          ...(translated
            ? { source: formatIp(origIp), source_xlated: fields.IP.source ?? "" }
            : {}),
          ...(message.type === MESSAGE_TYPE.trace && message.encrypted === true
            ? { encrypted: true }
            : {}),
        };
  const source_service = src && lookups.service(src, srcPort);
  const destination_service = dst && lookups.service(dst, dstPort);
  const source_names = src === undefined ? [] : lookups.names(destination, src);
  const destination_names = dst === undefined ? [] : lookups.names(source, dst);
  const reply = replyOf(message);
  return {
    time: flowTime(message.time),
    uuid: lookups.uuid(),
    ...fields,
    ...(IP === undefined ? {} : { IP }),
    source,
    destination,
    Type: "L3_L4",
    node_name: node,
    ...(source_names.length > 0 ? { source_names } : {}),
    ...(destination_names.length > 0 ? { destination_names } : {}),
    ...(source_service ? { source_service } : {}),
    ...(destination_service ? { destination_service } : {}),
    ...(reply === undefined ? {} : { is_reply: reply, ...(reply ? { reply } : {}) }),
    traffic_direction: message.direction ?? directionOf(message, source.ID ?? 0),
    ...verdictFields(message),
  };
}

function identities(message: DropMessage | TraceMessage | PolicyVerdictMessage): [number, number] {
  if (message.type !== MESSAGE_TYPE["policy-verdict"]) return [message.srcLabel, message.dstLabel];
  return message.ingress ? [message.remoteLabel, 0] : [0, message.remoteLabel];
}

/** What the kind of message says by itself. */
function verdictFields(message: DropMessage | TraceMessage | PolicyVerdictMessage): Partial<Flow> {
  switch (message.type) {
    case MESSAGE_TYPE.drop:
      return {
        ...droppedFor(message.reason),
        event_type: { type: message.type, sub_type: message.reason },
        ...(message.kernel === undefined
          ? {}
          : { extensions: kernelDropExtension(message.kernel) }),
        ...(message.deniedBy === undefined
          ? {}
          : message.direction === "INGRESS"
            ? { ingress_denied_by: message.deniedBy }
            : { egress_denied_by: message.deniedBy }),
      };
    case MESSAGE_TYPE.trace:
      return {
        verdict: "FORWARDED",
        event_type: { type: message.type, sub_type: message.obsPoint },
        trace_observation_point: tracePointName(message.obsPoint),
        trace_reason: traceReasonName(message.reason),
        ...(message.ifindex === 0
          ? {}
          : {
              interface: {
                index: message.ifindex,
                ...(message.ifname === undefined ? {} : { name: message.ifname }),
              },
            }),
      };
    case MESSAGE_TYPE["policy-verdict"]: {
      const { verdict, audited = false, authType = "DISABLED", by, ingress, matchType } = message;
      const side = ingress ? "ingress" : "egress";
      const passed: Verdict = audited ? "AUDIT" : "FORWARDED";
      return {
        ...(verdict < 0
          ? droppedFor(-verdict)
          : { verdict: verdict > 0 ? ("REDIRECTED" as const) : passed }),
        event_type: { type: message.type },
        policy_match_type: matchType,
        ...(authType === "DISABLED" ? {} : { auth_type: authType }),
        ...(by === undefined ? {} : { [`${side}_${verdict < 0 ? "denied" : "allowed"}_by`]: by }),
      };
    }
  }
}

function droppedFor(reason: number): Pick<Flow, "verdict" | "drop_reason" | "drop_reason_desc"> {
  return { verdict: "DROPPED", drop_reason: reason, drop_reason_desc: dropReasonName(reason) };
}

/** Whether it answers; nobody knows of drops, and a verdict is only told of what opens a connection. */
function replyOf(message: DropMessage | TraceMessage | PolicyVerdictMessage): boolean | undefined {
  if (message.type === MESSAGE_TYPE["policy-verdict"]) {
    return message.verdict >= 0 ? false : undefined;
  }
  if (message.type === MESSAGE_TYPE.drop || message.reason === TRACE_REASON.unknown)
    return undefined;
  if (message.reason === TRACE_REASON.srv6Encap || message.reason === TRACE_REASON.srv6Decap) {
    return undefined;
  }
  return message.reason === TRACE_REASON.ctReply;
}

/** Of the connection, not of the packet: answers to what came in are ingress. */
function directionOf(
  message: DropMessage | TraceMessage | PolicyVerdictMessage,
  sourceEndpoint: number,
): TrafficDirection {
  if (message.type === MESSAGE_TYPE["policy-verdict"])
    return message.ingress ? "INGRESS" : "EGRESS";
  if (message.source === 0) return "TRAFFIC_DIRECTION_UNKNOWN";
  const isSource = message.source === sourceEndpoint;
  if (message.type === MESSAGE_TYPE.drop) return isSource ? "EGRESS" : "INGRESS";
  const { reason } = message;
  if (reason === TRACE_REASON.unknown) return "TRAFFIC_DIRECTION_UNKNOWN";
  if (reason === TRACE_REASON.encryptOverlay) return "EGRESS";
  const isReply = reason === TRACE_REASON.ctReply;
  return isSource !== isReply || message.origIp !== undefined ? "EGRESS" : "INGRESS";
}

const SOCKET_POINTS = [
  "SOCK_XLATE_POINT_UNKNOWN",
  "SOCK_XLATE_POINT_PRE_DIRECTION_FWD",
  "SOCK_XLATE_POINT_POST_DIRECTION_FWD",
  "SOCK_XLATE_POINT_PRE_DIRECTION_REV",
  "SOCK_XLATE_POINT_POST_DIRECTION_REV",
] as const;

/** Forwards, the socket asks; backwards, it hears from whom it asked. Its own port is not known. */
function socketFlow(message: TraceSockMessage, lookups: FlowLookups): Flow {
  const { node, point, protocol, from, dstIp, dstPort, cookie } = message;
  const reverse = point > 2;
  const socket = lookups.endpoint(from, 0, node);
  const other = lookups.endpoint(dstIp, 0, node);
  const service = lookups.service(dstIp, dstPort);
  const names = lookups.names(socket, dstIp);
  const ports = reverse ? { source_port: dstPort } : { destination_port: dstPort };
  return {
    time: flowTime(message.time),
    uuid: lookups.uuid(),
    verdict: point === 2 || point === 4 ? "TRANSLATED" : "TRACED",
    IP: {
      source: formatIp(reverse ? dstIp : from),
      destination: formatIp(reverse ? from : dstIp),
      ipVersion: typeof dstIp === "number" ? "IPv4" : "IPv6",
    },
    l4: { [protocol]: ports },
    source: reverse ? other : socket,
    destination: reverse ? socket : other,
    Type: "SOCK",
    node_name: node,
    ...(names.length === 0 ? {} : { [reverse ? "source_names" : "destination_names"]: names }),
    event_type: { type: MESSAGE_TYPE["trace-sock"], sub_type: point },
    ...(service && { [reverse ? "source_service" : "destination_service"]: service }),
    sock_xlate_point: SOCKET_POINTS[point],
    socket_cookie: cookie,
    Summary: protocol,
  };
}
