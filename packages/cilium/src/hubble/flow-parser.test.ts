import {
  Data,
  ETH_P_ARP,
  ETH_P_IP,
  EthernetFrame,
  ICMP_DEST_UNREACH,
  ICMP_ECHO,
  ICMP_PORT_UNREACH,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  IpPacket,
  type Payload,
  parseIp,
  TCP_ACK,
  TCP_SYN,
  TcpSegment,
  UdpDatagram,
  VxlanPacket,
} from "@cnilab/net";
import { describe, expect, test } from "vitest";
import type { FlowLookups } from "./flow-lookups.ts";
import { flowOf } from "./flow-parser.ts";
import { FlowPrinter } from "./flow-printer.ts";
import { flowTime } from "./flow-time.ts";
import type { DropMessage, MonitorMessage, TraceMessage } from "./monitor-message.ts";
import { MESSAGE_TYPE, TRACE_POINTS, TRACE_REASON } from "./monitor-messages.ts";

const CLIENT = parseIp("10.0.0.1");
const SERVER = parseIp("10.0.1.2");

/** Endpoint 11 is the client's, 12 the server's; the Service is at 10.96.0.10:80. */
const LOOKUPS: FlowLookups = {
  endpoint: (address, identity) => {
    if (address === CLIENT) {
      return { ID: 11, identity: identity || 30_002, namespace: "default", pod_name: "api-1" };
    }
    if (address === SERVER) {
      return { ID: 12, identity: identity || 30_001, namespace: "default", pod_name: "web-1" };
    }
    return { identity: identity || 2 };
  },
  service: (address, port) =>
    address === parseIp("10.96.0.10") && port === 80
      ? { namespace: "default", name: "web" }
      : undefined,
  names: ({ ID }, address) =>
    ID === 11 && address === parseIp("192.0.2.7") ? ["www.example.com"] : [],
  uuid: () => "u",
};

function frame(src: string, dst: string, protocol: number, payload: Payload): EthernetFrame {
  const packet = new IpPacket(parseIp(src), parseIp(dst), protocol, payload);
  return new EthernetFrame(0x020000000001, 0x020000000002, ETH_P_IP, packet);
}

const tcp = (src: string, dst: string, flags = TCP_SYN) =>
  frame(src, dst, IPPROTO_TCP, new TcpSegment(41_234, 80, flags));

function trace(of: Partial<TraceMessage>): TraceMessage {
  return {
    type: MESSAGE_TYPE.trace,
    node: "n1",
    time: 1500,
    frame: tcp("10.0.0.1", "10.0.1.2"),
    source: 12,
    obsPoint: TRACE_POINTS.indexOf("to-endpoint"),
    reason: TRACE_REASON.policy,
    srcLabel: 30_002,
    dstLabel: 0,
    ifindex: 7,
    ...of,
  };
}

function drop(of: Partial<DropMessage>): DropMessage {
  const { node, time, frame: syn, srcLabel, dstLabel } = trace({});
  const common = { node, time, frame: syn, srcLabel, dstLabel };
  return { type: MESSAGE_TYPE.drop, source: 11, reason: 133, ...common, ...of };
}

const overlay = frame(
  "192.168.0.1",
  "192.168.0.2",
  IPPROTO_UDP,
  new UdpDatagram(40_000, 8472, new VxlanPacket(30_002, tcp("10.0.0.1", "10.0.1.2"))),
);

describe("the flow of a message", () => {
  test.each<[string, MonitorMessage, string]>([
    [
      "of a packet delivered",
      trace({}),
      "default/api-1:41234 (ID:30002) -> default/web-1:80 (ID:30001) to-endpoint FORWARDED (TCP Flags: SYN)",
    ],
    [
      "of its answer, seen where the client is",
      trace({
        frame: frame(
          "10.0.1.2",
          "10.0.0.1",
          IPPROTO_TCP,
          new TcpSegment(80, 41_234, TCP_SYN | TCP_ACK),
        ),
        source: 11,
        reason: TRACE_REASON.ctReply,
        srcLabel: 0,
      }),
      "default/api-1:41234 (ID:30002) <- default/web-1:80 (ID:30001) to-endpoint FORWARDED (TCP Flags: SYN, ACK)",
    ],
    [
      "of one whose connection nobody looked up",
      trace({ reason: TRACE_REASON.unknown, obsPoint: TRACE_POINTS.indexOf("to-network") }),
      "default/api-1:41234 (ID:30002) <> default/web-1:80 (ID:30001) to-network FORWARDED (TCP Flags: SYN)",
    ],
    [
      "of one in a tunnel",
      trace({ frame: overlay }),
      "default/api-1:41234 (ID:30002) -> default/web-1:80 (ID:30001) to-endpoint FORWARDED (TCP Flags: SYN)",
    ],
    [
      "of one to a Service",
      trace({
        frame: tcp("10.0.0.1", "10.96.0.10"),
        obsPoint: TRACE_POINTS.indexOf("from-endpoint"),
      }),
      "default/api-1:41234 (ID:30002) -> default/web:80 (world) from-endpoint FORWARDED (TCP Flags: SYN)",
    ],
    [
      "of one to a name that was asked for",
      trace({
        frame: frame("10.0.0.1", "192.0.2.7", IPPROTO_UDP, new UdpDatagram(5353, 53, new Data(0))),
      }),
      "default/api-1:5353 (ID:30002) -> www.example.com:53 (world) to-endpoint FORWARDED (UDP)",
    ],
    [
      "of a drop",
      drop({}),
      "default/api-1:41234 (ID:30002) <> default/web-1:80 (ID:30001) Policy denied DROPPED (TCP Flags: SYN)",
    ],
    [
      "of a drop by the kernel that has no number",
      drop({ reason: 0, kernel: { reason: "NEIGH_FAILED" } }),
      "default/api-1:41234 (ID:30002) <> default/web-1:80 (ID:30001) NEIGH_FAILED DROPPED (TCP Flags: SYN)",
    ],
    [
      "of a ping",
      trace({
        frame: frame("10.0.0.1", "10.0.1.2", IPPROTO_ICMP, new IcmpMessage(ICMP_ECHO, 0, 1)),
      }),
      "default/api-1 (ID:30002) -> default/web-1 (ID:30001) to-endpoint FORWARDED (ICMPv4 EchoRequest)",
    ],
    [
      "of an ICMP error",
      trace({
        frame: frame(
          "10.0.0.1",
          "10.0.1.2",
          IPPROTO_ICMP,
          new IcmpMessage(ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, 0),
        ),
        reason: TRACE_REASON.ctRelated,
      }),
      "default/api-1 (ID:30002) -> default/web-1 (ID:30001) to-endpoint FORWARDED (ICMPv4 DestinationUnreachable(Port))",
    ],
    [
      "of a verdict",
      {
        ...trace({}),
        type: MESSAGE_TYPE["policy-verdict"],
        ingress: true,
        remoteLabel: 30_002,
        verdict: 0,
        matchType: 2,
      },
      "default/api-1:41234 (ID:30002) -> default/web-1:80 (ID:30001) policy-verdict:L3-L4 INGRESS ALLOWED (TCP Flags: SYN)",
    ],
    [
      "of a verdict that denies",
      {
        ...trace({}),
        type: MESSAGE_TYPE["policy-verdict"],
        ingress: false,
        remoteLabel: 30_001,
        verdict: -181,
        matchType: 0,
      },
      "default/api-1:41234 (ID:30002) <> default/web-1:80 (ID:30001) policy-verdict:none EGRESS DENIED (TCP Flags: SYN)",
    ],
    [
      "of a socket that asked a Service",
      {
        type: MESSAGE_TYPE["trace-sock"],
        node: "n1",
        time: 1500,
        point: 1,
        protocol: "TCP",
        from: CLIENT,
        cookie: 5,
        dstIp: parseIp("10.96.0.10"),
        dstPort: 80,
      },
      "default/api-1 (ID:30002) <> default/web:80 (world) pre-xlate-fwd TRACED (TCP)",
    ],
    [
      "of a socket that hears from its backend",
      {
        type: MESSAGE_TYPE["trace-sock"],
        node: "n1",
        time: 1500,
        point: 4,
        protocol: "UDP",
        from: CLIENT,
        cookie: 5,
        dstIp: parseIp("10.96.0.10"),
        dstPort: 80,
      },
      "default/web:80 (world) <> default/api-1 (ID:30002) post-xlate-rev TRANSLATED (UDP)",
    ],
  ])("%s", (_what, message, text) => {
    const printer = new FlowPrinter({ format: "compact" });
    expect(printer.print({ flow: flowOf(message, LOOKUPS) })).toBe(
      `Jan  1 00:00:01.500: ${text}\n`,
    );
  });

  test.each<[string, DropMessage | TraceMessage, string]>([
    ["a drop at its source", drop({ source: 11 }), "EGRESS"],
    ["a drop at its destination", drop({ source: 12 }), "INGRESS"],
    ["a drop at nobody's", drop({ source: 0 }), "TRAFFIC_DIRECTION_UNKNOWN"],
    ["a packet at its source", trace({ source: 11 }), "EGRESS"],
    ["a packet at its destination", trace({ source: 12 }), "INGRESS"],
    ["an answer at its source", trace({ source: 11, reason: TRACE_REASON.ctReply }), "INGRESS"],
    ["an answer at its destination", trace({ source: 12, reason: TRACE_REASON.ctReply }), "EGRESS"],
    [
      "one whose source was translated",
      trace({ source: 12, origIp: parseIp("10.0.0.9") }),
      "EGRESS",
    ],
    [
      "one of which nothing is known",
      trace({ reason: TRACE_REASON.unknown }),
      "TRAFFIC_DIRECTION_UNKNOWN",
    ],
  ])("of %s goes the way %s", (_what, message, direction) => {
    expect(flowOf(message, LOOKUPS).traffic_direction).toBe(direction);
  });

  test("tells of both sources where one was translated, and of the tunnel", () => {
    expect(flowOf(trace({ origIp: parseIp("10.0.0.9") }), LOOKUPS).IP).toMatchObject({
      source: "10.0.0.9",
      source_xlated: "10.0.0.1",
    });
    expect(flowOf(trace({ frame: overlay }), LOOKUPS)).toMatchObject({
      tunnel: {
        protocol: "VXLAN",
        IP: { source: "192.168.0.1" },
        l4: { UDP: { destination_port: 8472 } },
      },
      IP: { source: "10.0.0.1" },
    });
  });

  test("has fields of what is no IP packet, too", () => {
    const arp = new EthernetFrame(0xffffffffffff, 0x020000000002, ETH_P_ARP, new Data(28));
    expect(flowOf(trace({ frame: arp }), LOOKUPS)).toMatchObject({
      ethernet: { source: "02:00:00:00:00:02", destination: "ff:ff:ff:ff:ff:ff" },
      source: {},
      node_name: "n1",
    });
  });

  test.each([
    [0, "2026-01-01T00:00:00Z"],
    [1500, "2026-01-01T00:00:01.500Z"],
    [0.25, "2026-01-01T00:00:00.000250Z"],
    [1.000001, "2026-01-01T00:00:00.001000001Z"],
  ])("at %d ms has the time %s", (ms, text) => {
    expect(flowTime(ms)).toBe(text);
  });
});
