import {
  type NetDevice,
  type NetNamespace,
  Nic,
  TcpConnection,
  type Trace,
  type TraceStep,
} from "@cnilab/linux";
import { IpPacket } from "@cnilab/net";
import { innermost, isNeighbourTalk } from "../trace/packet-text.ts";
import { type OuterHeader, outerHeaders } from "./encapsulation.ts";

/** What one packet met on its way from a program to a program, tunnels and those who carry it in user space included. */
export interface WalkMeasure {
  /** Devices that it crossed, in order, each once. */
  readonly devices: readonly NetDevice[];
  /** Network namespaces that it passed, in order. */
  readonly namespaces: readonly NetNamespace[];
  /** How often its TTL was counted down: routers that it met. */
  readonly routed: number;
  /** Steps of the trace, without questions for neighbours. */
  readonly steps: number;
  /** Rules that iptables or nftables evaluated, and in which tables. */
  readonly rules: number;
  readonly rulesByTable: ReadonlyMap<string, number>;
  /** Those of them that looked at a tunnel's outer packet. */
  readonly tunnelRules: number;
  /** Look-ups in eBPF maps, and programs that ran. */
  readonly lookups: number;
  readonly programs: number;
  /** Look-ups in the flow tables of Open vSwitch, and those of them after which a program was asked. */
  readonly flowLookups: number;
  readonly flowMisses: number;
  /** Connections that conntrack began to keep, and those of them that are a tunnel's own. */
  readonly connections: number;
  readonly tunnelConnections: number;
  /** Headers around it where it left a machine; empty where no tunnel took it, or it stayed on one machine. */
  readonly outer: readonly OuterHeader[];
  /** The device by which it first left a machine; `undefined` where it stayed. */
  readonly leftBy: NetDevice | undefined;
}

/** A TCP connection as `exchange` makes one: which of its packets cost what. */
export interface ConnectionMeasure {
  /** The SYN: the first packet, for which nothing is known yet. */
  readonly first: WalkMeasure;
  /** The SYN-ACK. */
  readonly answer: WalkMeasure;
  /** A full-sized segment of the client, once both sides have spoken: what all further packets cost. */
  readonly later: WalkMeasure;
  /** Bytes that a packet of the client may have from its network header on, by its route or its device; 0 where it has no route. */
  readonly mtu: number;
}

/**
 * Takes the measure of a TCP connection that came about. Where a proxy answers in place of the server, its is the way that is measured.
 * @returns `undefined` for a trace of anything else
 */
export function measureConnection(trace: Trace): ConnectionMeasure | undefined {
  const turns = turnsOf(trace);
  const client = turns[0]?.netns;
  const [first] = turns;
  const answer = turns.find(({ text }) => text === "SYN-ACK");
  const later = turns.find((turn) => turn.netns === client && / bytes$/.test(turn.text));
  if (first?.text !== "SYN" || answer === undefined || later === undefined) return undefined;
  return {
    first: measureWalk(first.steps),
    answer: measureWalk(answer.steps),
    later: measureWalk(later.steps),
    mtu: mtuOf(first.steps),
  };
}

/** What the first route says, or else its device (`ip_dst_mtu_maybe_forward`). */
function mtuOf(steps: readonly TraceStep[]): number {
  const step = steps.find((s) => s.kind === "route" && s.nexthop !== undefined);
  if (step?.kind !== "route") return 0;
  return step.route?.mtu || step.nexthop?.dev?.mtu || 0;
}

/** From one segment's sending until the next: packets run to completion, and whoever carries it on is among them. */
interface Turn {
  readonly netns: NetNamespace;
  readonly text: string;
  readonly steps: TraceStep[];
}

function turnsOf(trace: Trace): Turn[] {
  const turns: Turn[] = [];
  /** What comes before the sending, as programs on sockets. */
  let before: TraceStep[] = [];
  for (const step of trace.steps) {
    if (step.kind === "send" && step.socket instanceof TcpConnection) {
      turns.push({ netns: step.netns, text: step.text, steps: [...before, step] });
      before = [];
      continue;
    }
    const turn = turns.at(-1);
    if (turn === undefined) before.push(step);
    else turn.steps.push(step);
  }
  return turns;
}

/** Adds up the steps of one packet; those about neighbours are left out. */
export function measureWalk(steps: readonly TraceStep[]): WalkMeasure {
  const talk = neighbourTalk(steps);
  const elsewhere = bystanders(steps);
  const devices = new Set<NetDevice>();
  const namespaces: NetNamespace[] = [];
  const rulesByTable = new Map<string, number>();
  const ttls: number[] = [];
  let [rules, tunnelRules, lookups, programs, count] = [0, 0, 0, 0, 0];
  let [connections, tunnelConnections] = [0, 0];
  let [flowLookups, flowMisses] = [0, 0];
  const tunnels = new TunnelState(steps[0]?.packet);
  let outer: readonly OuterHeader[] = [];
  let leftBy: NetDevice | undefined;
  for (const step of steps) {
    if (step.kind === "neighbour" || talk.has(step.packet)) continue;
    if (elsewhere.has(step.netns)) continue;
    count++;
    if (namespaces.at(-1) !== step.netns) namespaces.push(step.netns);
    switch (step.kind) {
      case "receive":
      case "transmit": {
        devices.add(step.dev);
        const around = outerHeaders(step.frame.payload);
        tunnels.set(step.packet, around.length > 0);
        const made = innermost(step.frame.payload);
        if (made instanceof IpPacket) ttls.push(made.ttl);
        if (step.kind === "transmit" && step.dev instanceof Nic) {
          leftBy ??= step.dev;
          if (around.length >= outer.length) outer = around;
        }
        break;
      }
      case "bridge":
        devices.add(step.bridge);
        break;
      case "encapsulate":
      case "decapsulate":
        devices.add(step.dev);
        tunnels.set(step.packet, step.kind === "encapsulate");
        break;
      case "conntrack":
        if (step.event !== "confirmed") break;
        connections++;
        if (tunnels.have(step.packet)) tunnelConnections++;
        break;
      case "hook":
        rules += step.evaluated;
        if (tunnels.have(step.packet)) tunnelRules += step.evaluated;
        if (step.evaluated > 0) {
          rulesByTable.set(step.table, (rulesByTable.get(step.table) ?? 0) + step.evaluated);
        }
        break;
      case "bpf":
        programs++;
        lookups += step.lookups;
        break;
      case "datapath":
        devices.add(step.datapath.local.dev);
        if (step.event !== "execute") flowLookups++;
        if (step.event === "miss") flowMisses++;
        break;
      default:
    }
  }
  return {
    devices: [...devices],
    namespaces,
    routed: (ttls[0] ?? 0) - (ttls.at(-1) ?? 0),
    steps: count,
    rules,
    rulesByTable,
    tunnelRules,
    lookups,
    programs,
    flowLookups,
    flowMisses,
    connections,
    tunnelConnections,
    outer,
    leftBy,
  };
}

/** Which packets are a tunnel's own at a moment, from where one was put into it until it is taken out. */
class TunnelState {
  readonly #first: number | undefined;
  readonly #known = new Map<number, boolean>();

  /** @param first the packet that the sender made; others are those of programs that carry it */
  constructor(first: number | undefined) {
    this.#first = first;
  }

  set(packet: number, inTunnel: boolean): void {
    this.#known.set(packet, inTunnel);
  }

  have(packet: number): boolean {
    return this.#known.get(packet) ?? packet !== this.#first;
  }
}

/** Packets that only ask for neighbours, or answer such questions. */
function neighbourTalk(steps: readonly TraceStep[]): ReadonlySet<number> {
  const found = new Set<number>();
  for (const step of steps) {
    if (step.kind !== "receive" && step.kind !== "transmit") continue;
    if (isNeighbourTalk(step.frame.payload)) found.add(step.packet);
  }
  return found;
}

/** Namespaces of pods that copies of a flooded frame came to, and that had no use for them. */
function bystanders(steps: readonly TraceStep[]): ReadonlySet<NetNamespace> {
  const found = new Set<NetNamespace>();
  for (const step of steps) {
    if (step.kind === "drop" && step.reason === "OTHERHOST" && step.netns.name !== "") {
      found.add(step.netns);
    }
  }
  return found;
}
