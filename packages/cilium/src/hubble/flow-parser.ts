import { timestamp } from "@cnilab/core";
import { formatIp, type IpAddress } from "@cnilab/net";
import { dropReasonName } from "./drop-reasons.ts";
import type { Flow, FlowEndpoint, FlowService, TrafficDirection, Verdict } from "./flow.ts";
import { flowLayers } from "./flow-layers.ts";
import { kernelDropExtension } from "./kernel-drop.ts";
import type {
  DropMessage,
  MonitorMessage,
  PolicyVerdictMessage,
  TraceMessage,
  TraceSockMessage,
} from "./monitor-message.ts";
import { MESSAGE_TYPE, TRACE_REASON, tracePointName, traceReasonName } from "./monitor-messages.ts";

/** What an agent knows beyond what is in a packet. */
export interface FlowLookups {
  /** Who has an address. @param identity what the program took it for; 0 where it did not say */
  endpoint(address: IpAddress, identity: number, node: string): FlowEndpoint;
  /** Which Service has this frontend. */
  service(address: IpAddress, port: number): FlowService | undefined;
  /** Names under which the endpoint asked DNS for an address. */
  names(endpoint: FlowEndpoint, address: IpAddress): readonly string[];
  /** An identifier that no flow has had. */
  uuid(): string;
}

/** The flow that a message tells of (pkg/hubble/parser/threefour; sockets: parser/sock). */
export function flowOf(message: MonitorMessage, lookups: FlowLookups): Flow {
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

/** A moment of the virtual clock as protobuf writes it, with as many digits as it needs. */
export function flowTime(ms: number): string {
  const nanos = Math.round((ms - Math.floor(ms / 1000) * 1000) * 1e6);
  const seconds = timestamp(ms);
  if (nanos === 0) return seconds;
  const digits = String(nanos).padStart(9, "0");
  const kept = nanos % 1e6 === 0 ? 3 : nanos % 1000 === 0 ? 6 : 9;
  return `${seconds.slice(0, -1)}.${digits.slice(0, kept)}Z`;
}
