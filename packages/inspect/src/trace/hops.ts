import type { DeviceStep, FilterStep, NetNamespace, Trace, TraceStep } from "@cnilab/linux";
import { formatIp, type NetworkPacket } from "@cnilab/net";
import { traceLegs } from "./legs.ts";
import {
  innermost,
  isNeighbourTalk,
  type NameOf,
  type PacketSummary,
  summarise,
} from "./packet-text.ts";
import { isTunnelSocket } from "./tunnel-socket.ts";

/** Steps of one packet in one namespace, one after the other. */
export interface TraceHop {
  readonly netns: NetNamespace;
  /** As `node1/host` or `node1/default_web-0`. */
  readonly place: string;
  readonly packet: number;
  readonly steps: readonly TracedStep[];
}

/** A step with what came before and after it. */
export interface TracedStep {
  readonly step: TraceStep;
  /** The last frame of its packet that was seen at a device. */
  readonly before: DeviceStep | undefined;
  /** A rule that led to nothing: a jump into a chain that had nothing to say, or the return from one. */
  readonly idle: boolean;
}

/** One packet of a trace. Copies of it, and what a tunnel puts around it, have its number too. */
export interface TracePacket {
  readonly number: number;
  /** As its sender made it; `undefined` where it ended before it reached a device. */
  readonly summary: PacketSummary | undefined;
  /** Seen from the client whose leg it is: its own packets, answers, and questions for neighbours. */
  readonly direction: "there" | "back" | "neighbour";
  readonly end: "delivered" | "dropped" | "unfinished";
  /** Which of several legs it belongs to, from 1 on; `undefined` where there is one, or it belongs to none. */
  readonly leg: number | undefined;
}

/** Node and namespace, as `node1/host` (the node's own) or `node1/cni-…`. */
export function placeOf(netns: NetNamespace): string {
  return `${netns.kernel.hostname}/${netns.name === "" ? "host" : netns.name}`;
}

/** The name of a namespace's own address, as `default/web-0`: what people call a pod's namespace. */
export function namespaceName(netns: NetNamespace, nameOf: NameOf | undefined): string | undefined {
  if (nameOf === undefined || netns.name === "") return undefined;
  for (const { addresses, isLoopback } of netns.devices) {
    for (const { address } of isLoopback ? [] : addresses) {
      const name = nameOf(formatIp(address));
      if (name !== undefined) return name;
    }
  }
  return undefined;
}

/** Cuts a trace into hops. Where packets alternate, as with ARP, a packet has several in one place. */
export function traceHops(trace: Trace): TraceHop[] {
  const hops: (Omit<TraceHop, "steps"> & { readonly steps: TracedStep[] })[] = [];
  const lastFrames = new Map<number, DeviceStep>();
  for (const step of trace.steps) {
    let hop = hops.at(-1);
    if (hop === undefined || hop.packet !== step.packet || hop.netns !== step.netns) {
      hop = { netns: step.netns, place: placeOf(step.netns), packet: step.packet, steps: [] };
      hops.push(hop);
    }
    hop.steps.push({ step, before: lastFrames.get(step.packet), idle: false });
    if (step.kind === "receive" || step.kind === "transmit") lastFrames.set(step.packet, step);
  }
  return hops.map((hop) => ({ ...hop, steps: markIdle(hop.steps) }));
}

/** Finds the rules that led to nothing. */
function markIdle(steps: readonly TracedStep[]): TracedStep[] {
  const marked = [...steps];
  for (let i = steps.length - 1; i >= 0; i--) {
    const traced = steps[i] as TracedStep;
    if (traced.step.kind === "rule") {
      marked[i] = { ...traced, idle: !leadsOn(traced.step, marked.slice(i + 1)) };
    }
  }
  return marked;
}

/** Whether a rule had an effect, by itself or in the chain that it jumps to. */
function leadsOn({ rule, effect }: FilterStep, after: readonly TracedStep[]): boolean {
  const [verb, chain] = effect.toLowerCase().split(" ");
  if (verb === "return" || verb === "continue") return false;
  if (verb !== "jump" && verb !== "goto") return true;
  for (const { step, idle } of after) {
    // Back in the same chain, or the table is done: the other chain came to its end.
    if (step.kind === "hook" || (step.kind === "rule" && step.rule.location === rule.location)) {
      return false;
    }
    if (step.kind === "rule" && !idle && chainOf(step.rule.location) === chain) return true;
  }
  return false;
}

function chainOf(location: string): string | undefined {
  return location.split(" ").at(-1)?.toLowerCase();
}

/** All packets of a trace, by number. */
export function tracePackets(trace: Trace): TracePacket[] {
  const start = trace.steps[0]?.netns;
  const steps = new Map<number, TraceStep[]>();
  for (const step of trace.steps) {
    const own = steps.get(step.packet);
    if (own === undefined) steps.set(step.packet, [step]);
    else own.push(step);
  }
  const packets = [...steps]
    .sort(([x], [y]) => x - y)
    .map(([number, own]) => ({ number, own, packet: firstPacket(own) }));
  const first = packets[0]?.packet;
  const legs = traceLegs(trace);
  const legOf = new Map<number, { readonly back: boolean; readonly leg: number }>();
  legs.forEach(({ there, back }, i) => {
    for (const number of there) legOf.set(number, { back: false, leg: i + 1 });
    for (const number of back) legOf.set(number, { back: true, leg: i + 1 });
  });
  return packets.map(({ number, own, packet }) => {
    const asks = packet !== undefined && isNeighbourTalk(packet);
    const away = own[0]?.netns !== start && !isCarrier(packet, first);
    const part = legOf.get(number);
    const back = part?.back ?? (away || isAnswer(packet, first));
    return {
      number,
      summary: packet === undefined ? undefined : summarise(packet),
      direction: asks ? "neighbour" : back ? "back" : "there",
      leg: legs.length > 1 ? part?.leg : undefined,
      end: asks ? neighbourEnd(own) : endOf(own),
    };
  });
}

/** Whether a tunnel's own socket sent it, with a packet from the trace's start inside (WireGuard, flanneld's proxy). */
function isCarrier(packet: NetworkPacket | undefined, first: NetworkPacket | undefined): boolean {
  const [x, y] = [packet && summarise(packet), first && summarise(first)];
  return x !== undefined && y !== undefined && x.src === y.src && x.srcPort === y.srcPort;
}

/** Whether a packet goes the other way between the same ends, as within one namespace. */
function isAnswer(packet: NetworkPacket | undefined, first: NetworkPacket | undefined): boolean {
  const [x, y] = [packet && summarise(packet), first && summarise(first)];
  return (
    x !== undefined &&
    y !== undefined &&
    x.src === y.dst &&
    x.dst === y.src &&
    x.srcPort === y.dstPort &&
    x.dstPort === y.srcPort &&
    x.srcPort !== undefined
  );
}

function firstPacket(steps: readonly TraceStep[]): NetworkPacket | undefined {
  for (const step of steps) {
    if (step.kind === "receive" || step.kind === "transmit") return innermost(step.frame.payload);
    if (step.kind === "encapsulate" || step.kind === "decapsulate") return innermost(step.outer);
  }
  return undefined;
}

/** A packet that was flooded may be delivered once and be ignored elsewhere. */
function endOf(steps: readonly TraceStep[]): TracePacket["end"] {
  const delivered = steps.some((s) => s.kind === "deliver" && !isTunnelSocket(s));
  if (delivered) return "delivered";
  return steps.some((s) => s.kind === "drop") ? "dropped" : "unfinished";
}

/** Questions and answers end in the kernel, which does not say so. */
function neighbourEnd(steps: readonly TraceStep[]): TracePacket["end"] {
  return steps.some((s) => s.kind === "drop" && s.reason !== "OTHERHOST") ? "dropped" : "delivered";
}
