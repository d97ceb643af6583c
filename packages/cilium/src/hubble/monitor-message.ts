import type { EthernetFrame, IpAddress } from "@cnilab/net";
import type { AccessLogMessage } from "./access-log-message.ts";
import type { FlowPolicy, TrafficDirection } from "./flow.ts";
import type { KernelDrop } from "./kernel-drop.ts";
import type { MESSAGE_TYPE } from "./monitor-messages.ts";

/** What all messages say: which packet, where and when. The frame is still the packet's own: read it at once. */
interface Message {
  readonly node: string;
  /** Virtual milliseconds. */
  readonly time: number;
  readonly frame: EthernetFrame;
  /** Seen where packets have no Ethernet header. */
  readonly l3?: boolean;
  /** The endpoint of this node at which the program runs; 0 where it is none's. */
  readonly source: number;
  /**
   * Which way it went, for who knows that better than by {@link source}: a program that is no endpoint's, of another
   * CNI.
   */
  readonly direction?: TrafficDirection;
}

/** A packet was dropped (bpf/lib/drop.h `struct drop_notify`). */
export interface DropMessage extends Message {
  readonly type: typeof MESSAGE_TYPE.drop;
  /** As in `drop-reasons.ts`. */
  readonly reason: number;
  readonly srcLabel: number;
  readonly dstLabel: number;
  /** Where it was the kernel that dropped it. */
  readonly kernel?: KernelDrop;
  /** Policies that denied it, where somebody knows. */
  readonly deniedBy?: readonly FlowPolicy[];
}

/** A packet went on (bpf/lib/trace.h `struct trace_notify`). */
export interface TraceMessage extends Message {
  readonly type: typeof MESSAGE_TYPE.trace;
  /** An index of `TRACE_POINTS`. */
  readonly obsPoint: number;
  /** One of `TRACE_REASON`. */
  readonly reason: number;
  readonly encrypted?: boolean;
  readonly srcLabel: number;
  readonly dstLabel: number;
  readonly ifindex: number;
  readonly ifname?: string;
  /** The source before SNAT. */
  readonly origIp?: IpAddress;
}

/** A policy was looked up (bpf/lib/policy_log.h `struct policy_verdict_notify`). */
export interface PolicyVerdictMessage extends Message {
  readonly type: (typeof MESSAGE_TYPE)["policy-verdict"];
  readonly ingress: boolean;
  /** Identity of the other end. */
  readonly remoteLabel: number;
  /** 0 lets it pass, a port sends it to the proxy there, less than 0 drops it for that reason. */
  readonly verdict: number;
  /** As `policyMatchText` has them. */
  readonly matchType: number;
  /** It would have been dropped, were the endpoint not in audit mode. */
  readonly audited?: boolean;
  readonly authType?: "DISABLED" | "SPIRE" | "TEST_ALWAYS_FAIL";
  /** Policies that allowed or denied it, where somebody knows. */
  readonly by?: readonly FlowPolicy[];
}

/** The socket load balancer translated an address (bpf/lib/trace_sock.h `struct trace_sock_notify`). */
export interface TraceSockMessage {
  readonly type: (typeof MESSAGE_TYPE)["trace-sock"];
  readonly node: string;
  readonly time: number;
  /** 1 before and 2 after translation; 3 and 4 on the way back. */
  readonly point: 1 | 2 | 3 | 4;
  readonly protocol: "TCP" | "UDP";
  /** Address of the pod whose socket it is. */
  readonly from: IpAddress;
  readonly cookie: number;
  readonly dstIp: IpAddress;
  readonly dstPort: number;
}

/** What programs, and proxies beside them, tell the monitor and Hubble of. */
export type MonitorMessage =
  | DropMessage
  | TraceMessage
  | PolicyVerdictMessage
  | TraceSockMessage
  | AccessLogMessage;
