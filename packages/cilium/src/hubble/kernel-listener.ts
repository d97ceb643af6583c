import { formatOrigin } from "@cnilab/core";
import {
  type DropReason,
  type FilterRule,
  IP_CT_ESTABLISHED,
  IP_CT_ESTABLISHED_REPLY,
  IP_CT_NEW,
  IP_CT_RELATED,
  IP_CT_RELATED_REPLY,
  type Kernel,
  type NetDevice,
  type NetNamespace,
  type Skb,
  type Tracepoints,
} from "@cnilab/linux";
import { type EthernetFrame, type IpAddress, IpPacket } from "@cnilab/net";
import type { FlowPolicy, TrafficDirection } from "./flow.ts";
import { type FlowLayers, flowLayers } from "./flow-layers.ts";
import { dropNumber } from "./kernel-drop-reasons.ts";
import type { MonitorMessage } from "./monitor-message.ts";
import { MESSAGE_TYPE, TRACE_POINTS, TRACE_REASON, type TracePoint } from "./monitor-messages.ts";

/** What the listener must know of the cluster. */
export interface KernelListenerSurroundings {
  /** The node whose machine this is; `undefined` for machines outside. */
  nodeOf(kernel: Kernel): string | undefined;
  isLocalPod(node: string, address: IpAddress): boolean;
  /** Whether programs on the node tell of packets themselves: then only what the kernel drops is left to say. */
  hasPrograms(kernel: Kernel): boolean;
}

/** Where a frame is seen in a node's own namespace, by the device, on the way in and on the way out. */
interface Place {
  readonly receive: TracePoint;
  readonly transmit: TracePoint;
}

const ENDPOINT: Place = { receive: "from-endpoint", transmit: "to-endpoint" };
const OVERLAY: Place = { receive: "from-overlay", transmit: "to-overlay" };
const CRYPTO: Place = { receive: "from-crypto", transmit: "to-crypto" };
const NETWORK: Place = { receive: "from-network", transmit: "to-network" };

const PLACES: Readonly<Record<string, Place>> = {
  "": NETWORK,
  vxlan: OVERLAY,
  geneve: OVERLAY,
  ipip: OVERLAY,
  sit: OVERLAY,
  ip6tnl: OVERLAY,
  tun: OVERLAY,
  wireguard: CRYPTO,
};

/** Connections whose first direction is remembered. */
const MOST_CONNECTIONS = 65_536;

/** Makes the messages that Cilium's programs would send, out of what any node's kernel does with packets. */
export class KernelListener implements Tracepoints {
  readonly #surroundings: KernelListenerSurroundings;
  readonly #tell: (message: MonitorMessage) => void;
  /** Who spoke first, of packets that connection tracking does not know. */
  readonly #forward = new Set<string>();

  constructor(surroundings: KernelListenerSurroundings, tell: (message: MonitorMessage) => void) {
    this.#surroundings = surroundings;
    this.#tell = tell;
  }

  netifReceiveSkb(dev: NetDevice, skb: Skb): void {
    this.#trace(dev, skb, "receive");
  }

  netDevStartXmit(dev: NetDevice, skb: Skb): void {
    this.#trace(dev, skb, "transmit");
  }

  #trace(dev: NetDevice, skb: Skb, way: keyof Place): void {
    const { netns } = dev;
    const { kernel } = netns;
    if (!skb.isIp || netns !== kernel.initNs) return;
    const place = placeOf(dev);
    if (place === undefined) return;
    const node = this.#surroundings.nodeOf(kernel);
    if (node === undefined || this.#surroundings.hasPrograms(kernel)) return;
    const frame = skb.frame();
    const l3 = !dev.isEthernet;
    const layers = flowLayers(frame, l3);
    const reason = this.#reasonOf(skb, frame, layers);
    const origIp = untranslatedSource(skb, layers);
    const asked = origIp === undefined ? layers : { ...layers, src: origIp };
    this.#tell({
      type: MESSAGE_TYPE.trace,
      node,
      time: netns.network.clock.now,
      frame,
      l3,
      source: 0,
      direction: this.#directionOf(node, asked, reason === TRACE_REASON.ctReply),
      obsPoint: TRACE_POINTS.indexOf(place[way]),
      reason,
      srcLabel: 0,
      dstLabel: 0,
      ifindex: dev.ifindex,
      ifname: dev.name,
      ...(origIp === undefined ? {} : { origIp }),
    });
  }

  kfreeSkb(
    skb: Skb,
    netns: NetNamespace,
    reason: DropReason,
    _dev: NetDevice | undefined,
    detail: string,
    rule: FilterRule | undefined,
  ): void {
    const { kernel } = netns;
    if (!skb.isIp) return;
    const node = this.#surroundings.nodeOf(kernel);
    const number = node === undefined ? undefined : dropNumber(reason, rule);
    if (node === undefined || number === undefined) return;
    const frame = skb.frame();
    const l3 = skb.dev === undefined || !skb.dev.isEthernet;
    const layers = flowLayers(frame, l3);
    const deniedBy = number === POLICY_DENIED ? policiesOf(rule) : [];
    this.#tell({
      type: MESSAGE_TYPE.drop,
      node,
      time: netns.network.clock.now,
      frame,
      l3,
      source: 0,
      direction: policySide(rule) ?? this.#directionOf(node, layers, false),
      reason: number,
      srcLabel: 0,
      dstLabel: 0,
      kernel: {
        reason,
        ...(detail === "" ? {} : { detail }),
        ...(rule === undefined ? {} : { rule: `${rule.location}: ${rule.text}` }),
        ...(rule?.origin === undefined ? {} : { origin: formatOrigin(rule.origin) }),
      },
      ...(deniedBy.length > 0 ? { deniedBy } : {}),
    });
  }

  /** Connection tracking knows, where it has seen this very packet; else who spoke first is the one who asks. */
  #reasonOf(skb: Skb, frame: EthernetFrame, layers: FlowLayers): number {
    if (skb.ct !== undefined && layers.fields.tunnel === undefined) {
      const known = CONNTRACK_REASONS[skb.ctInfo];
      if (known !== undefined) return known;
    }
    const { src, dst, srcPort, dstPort, fields } = layers;
    const icmp = fields.l4?.ICMPv4 ?? fields.l4?.ICMPv6;
    if (icmp !== undefined) return ICMP_REASONS[icmp.type ?? 0] ?? TRACE_REASON.unknown;
    if (src === undefined || dst === undefined || srcPort === 0) return TRACE_REASON.unknown;
    const protocol = frame.payload instanceof IpPacket ? Object.keys(fields.l4 ?? {}).join() : "";
    const key = `${fields.IP?.source} ${srcPort} ${fields.IP?.destination} ${dstPort} ${protocol}`;
    if (this.#forward.has(key)) return TRACE_REASON.ctEstablished;
    const reverse = `${fields.IP?.destination} ${dstPort} ${fields.IP?.source} ${srcPort} ${protocol}`;
    if (this.#forward.has(reverse)) return TRACE_REASON.ctReply;
    if (this.#forward.size >= MOST_CONNECTIONS) this.#forward.clear();
    this.#forward.add(key);
    return TRACE_REASON.policy;
  }

  /** Of the connection, as the node sees it whose pod takes part in it. */
  #directionOf(node: string, { src, dst }: FlowLayers, isReply: boolean): TrafficDirection {
    const isSource = src !== undefined && this.#surroundings.isLocalPod(node, src);
    const isDestination = dst !== undefined && this.#surroundings.isLocalPod(node, dst);
    if (isSource === isDestination) return "TRAFFIC_DIRECTION_UNKNOWN";
    return isSource !== isReply ? "EGRESS" : "INGRESS";
  }
}

const POLICY_DENIED = 133;

const CONNTRACK_REASONS: Readonly<Record<number, number>> = {
  [IP_CT_NEW]: TRACE_REASON.policy,
  [IP_CT_ESTABLISHED]: TRACE_REASON.ctEstablished,
  [IP_CT_ESTABLISHED_REPLY]: TRACE_REASON.ctReply,
  [IP_CT_RELATED]: TRACE_REASON.ctRelated,
  [IP_CT_RELATED_REPLY]: TRACE_REASON.ctRelated,
};

/** Echo requests open, echo replies answer: the numbers of both families are different. */
const ICMP_REASONS: Readonly<Record<number, number>> = {
  8: TRACE_REASON.policy,
  128: TRACE_REASON.policy,
  0: TRACE_REASON.ctReply,
  129: TRACE_REASON.ctReply,
};

/** A device whose other end is in another namespace is a pod's; bridges and dummies are nowhere. */
function placeOf(dev: NetDevice): Place | undefined {
  if (dev.isLoopback) return undefined;
  const peer = dev.peerDevice;
  if (peer !== undefined) return peer.netns === dev.netns ? undefined : ENDPOINT;
  return PLACES[dev.kind];
}

/** The source before SNAT, of what goes the way in which its connection was opened. */
function untranslatedSource(
  { ct, ctInfo }: Skb,
  { src, fields }: FlowLayers,
): IpAddress | undefined {
  if (ct === undefined || fields.tunnel !== undefined) return undefined;
  if (ctInfo !== IP_CT_NEW && ctInfo !== IP_CT_ESTABLISHED) return undefined;
  const { original } = ct;
  return original.src === src ? undefined : original.src;
}

function policiesOf(rule: FilterRule | undefined): FlowPolicy[] {
  const origin = rule?.origin;
  if (origin === undefined || origin.enforcesPolicy === true) return [];
  const { name, namespace, kind } = origin;
  return [{ name, ...(namespace === undefined ? {} : { namespace }), kind }];
}

/** Whose policy it was that a rule enforces, where its author says so. */
function policySide(rule: FilterRule | undefined): TrafficDirection | undefined {
  const detail = rule?.origin?.detail ?? "";
  if (/\bingress\b/i.test(detail)) return "INGRESS";
  return /\begress\b/i.test(detail) ? "EGRESS" : undefined;
}
