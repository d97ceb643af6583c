import type { NetNamespace, Skb } from "@cnilab/linux";
import { formatEndpoint, formatIp, type IpAddress } from "@cnilab/net";
import { type FlowPolicy, VfpFlow } from "./flow-table.ts";
import { type FlowTuple, hasPorts, sameTuple, setTuple, tupleOf } from "./flow-tuple.ts";
import { quotedPacket, translateIcmpError } from "./icmp-error.ts";
import type { LoadBalancerPolicy } from "./load-balancer-policy.ts";
import type { VfpDirection, VfpMatch } from "./vfp-group.ts";
import type { VfpPort } from "./vfp-port.ts";

/** What the rules of a port need of the switch around it. */
export interface WalkContext {
  /** The host's compartment, where drops are reported. */
  readonly netns: NetNamespace;
  /** Source for a flow that a load balancer sends on; `undefined` where it keeps its own. */
  sourceFor(
    port: VfpPort,
    direction: VfpDirection,
    policy: LoadBalancerPolicy,
  ): IpAddress | undefined;
  /** A port (or echo identifier) of the source address that no other flow has; `undefined` when there is none left. */
  natPort(port: VfpPort, tuple: FlowTuple): number | undefined;
  /** A flow was let through: the port may remember it. */
  created(port: VfpPort, direction: VfpDirection, flow: VfpFlow): void;
}

/** A packet passes a port, through its flows or its rules. False when it was dropped. */
export function walk(
  port: VfpPort,
  direction: VfpDirection,
  skb: Skb,
  context: WalkContext,
): boolean {
  const packet = skb.ip;
  // Fragments are not translated: only the first has ports.
  if (packet.isFragment) return true;
  const { now } = context.netns.network.clock;
  const quoted = quotedPacket(packet);
  if (quoted !== undefined) {
    translateIcmpError(packet, quoted, port.flows, direction, now);
    return true;
  }
  const tuple = tupleOf(packet);
  const found = port.flows.find(direction, tuple, now);
  if (found !== undefined) {
    found.flow.lastUsed = now;
    found.flow.packets++;
    translate(skb, context.netns, tuple, found.becomes, found.isReply);
    return true;
  }
  return walkRules(port, direction, skb, tuple, context);
}

/** The first packet of a flow. */
function walkRules(
  port: VfpPort,
  direction: VfpDirection,
  skb: Skb,
  tuple: FlowTuple,
  context: WalkContext,
): boolean {
  const { netns } = context;
  let current = tuple;
  let policy: FlowPolicy | undefined;
  for (const group of port.groups(direction)) {
    const match = group.match(current);
    const action = match?.rule.action;
    // Where a packet is sent is decided packet by packet, when it leaves the port.
    if (match === undefined || action === undefined || action.type === "encap") continue;
    if (action.type === "block") {
      netns.network.drop(skb, netns, "VFP_BLOCK", undefined, port.name, match.rule);
      return false;
    }
    if (action.type === "lbnat") policy = action.policy;
    const next = nextTuple(current, match, port, direction, context);
    if (next === undefined) {
      netns.network.drop(
        skb,
        netns,
        "NAT_NO_TUPLE",
        undefined,
        `${port.name} has no port left to translate to`,
        match.rule,
      );
      return false;
    }
    if (skb.trace !== undefined) traceRule(skb, netns, port, match, effectText(match, next));
    current = next;
  }
  const flow = new VfpFlow(tuple, current, policy, netns.network.clock.now);
  flow.packets = 1;
  context.created(port, direction, flow);
  translate(skb, netns, tuple, current, false);
  return true;
}

/** The packet after a rule; `undefined` where it wants a port and there is none. */
function nextTuple(
  tuple: FlowTuple,
  { rule: { action } }: VfpMatch,
  port: VfpPort,
  direction: VfpDirection,
  context: WalkContext,
): FlowTuple | undefined {
  switch (action.type) {
    case "lbnat": {
      const dip = action.policy.choose(tuple);
      if (dip === undefined) return tuple;
      const served = { ...tuple, dst: dip.address, dstPort: dip.port };
      const source = context.sourceFor(port, direction, action.policy);
      return source === undefined || source === tuple.src
        ? served
        : withSource(served, source, port, context);
    }
    case "dnat":
      return { ...tuple, dst: action.address, dstPort: action.port };
    case "dynnat":
      return withSource(tuple, action.address, port, context);
    default:
      return tuple;
  }
}

function withSource(
  tuple: FlowTuple,
  src: IpAddress,
  port: VfpPort,
  context: WalkContext,
): FlowTuple | undefined {
  const srcPort = context.natPort(port, tuple);
  return srcPort === undefined ? undefined : { ...tuple, src, srcPort };
}

function translate(
  skb: Skb,
  netns: NetNamespace,
  before: FlowTuple,
  after: FlowTuple,
  reply: boolean,
): void {
  if (sameTuple(before, after)) return;
  setTuple(skb.ip, after);
  if (skb.trace === undefined) return;
  for (const manip of ["destination", "source"] as const) {
    const from = endText(before, manip);
    const to = endText(after, manip);
    if (from === to) continue;
    skb.trace.steps.push({ kind: "nat", netns, packet: skb.number, manip, from, to, reply });
  }
}

function endText(tuple: FlowTuple, manip: "source" | "destination"): string {
  const address = manip === "source" ? tuple.src : tuple.dst;
  const port = manip === "source" ? tuple.srcPort : tuple.dstPort;
  if (hasPorts(tuple.protocol)) return formatEndpoint(address, port);
  return port === 0 ? formatIp(address) : `${formatIp(address)} id ${port}`;
}

/** What came of a rule, and why. */
function effectText({ rule: { action } }: VfpMatch, next: FlowTuple): string {
  switch (action.type) {
    case "lbnat": {
      const { dips, distribution } = action.policy;
      const of = dips.length === 1 ? "the only endpoint" : `one of ${dips.length} endpoints`;
      const by = distribution === "5-tuple" ? "five-tuple" : "client's address";
      const why = dips.length === 1 ? of : `${of}, by the hash of the ${by}`;
      return `to ${formatEndpoint(next.dst, next.dstPort)}, ${why}`;
    }
    case "dynnat":
      return `as ${formatEndpoint(next.src, next.srcPort)}`;
    case "dnat":
      return `to ${formatEndpoint(next.dst, next.dstPort)}`;
    default:
      return action.type;
  }
}

/** Records that a rule took a packet. */
export function traceRule(
  skb: Skb,
  netns: NetNamespace,
  port: VfpPort,
  { rule, evaluated }: VfpMatch,
  effect: string,
): void {
  skb.trace?.steps.push({
    kind: "rule",
    netns,
    packet: skb.number,
    rule,
    evaluated,
    effect: `${effect} (port ${port.name})`,
  });
}
