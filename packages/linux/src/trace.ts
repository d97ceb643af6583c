import type { Origin } from "@cnilab/core";
import type { EthernetFrame, IpAddress, IpPacket, Mac } from "@cnilab/net";
import type { AnyBpfMap } from "./bpf/bpf-map.ts";
import type { FdbEntry } from "./bridge/fdb.ts";
import type { NetDevice } from "./device/net-device.ts";
import type { DropReason } from "./drop-reason.ts";
import type { Nexthop, Route } from "./fib/route.ts";
import type { NetNamespace } from "./net-namespace.ts";
import type { ConntrackEntry } from "./netfilter/conntrack-entry.ts";
import type { FilterRule } from "./netfilter/filter-rule.ts";
import type { HookNumber, NfFamily, NfVerdict } from "./netfilter/hooks.ts";
import type { Datapath } from "./openvswitch/datapath.ts";
import type { FlowKey } from "./openvswitch/flow-key.ts";
import type { DatapathFlow } from "./openvswitch/flow-table.ts";
import type { Vport } from "./openvswitch/vport.ts";
import type { Socket } from "./socket/socket.ts";

/** What every step says: where it happened, to which packet. */
interface StepBase {
  readonly netns: NetNamespace;
  /** Number of the packet within the trace: answers, ICMP errors and ARP have numbers of their own. */
  readonly packet: number;
}

/** A frame crosses a device. `frame` is a copy, as it was at that moment. */
export interface DeviceStep extends StepBase {
  readonly kind: "receive" | "transmit";
  readonly dev: NetDevice;
  readonly frame: EthernetFrame;
  /** Virtual milliseconds. */
  readonly time: number;
}

/** A bridge decides where a frame goes. */
export interface BridgeStep extends StepBase {
  readonly kind: "bridge";
  readonly bridge: NetDevice;
  /** The port it came in by; the bridge itself for frames of its own. */
  readonly from: NetDevice;
  readonly decision: "forward" | "flood" | "local";
  readonly mac: Mac;
  readonly entry: FdbEntry | undefined;
  /** Ports it leaves by. */
  readonly to: readonly NetDevice[];
}

export interface NeighbourStep extends StepBase {
  readonly kind: "neighbour";
  readonly dev: NetDevice;
  readonly ip: IpAddress;
  /** `undefined` while it is asked for. */
  readonly mac: Mac | undefined;
  readonly state: string;
}

export interface RouteStep extends StepBase {
  readonly kind: "route";
  readonly direction: "input" | "output";
  readonly dst: IpAddress;
  /** `undefined` where there is none. */
  readonly route: Route | undefined;
  readonly nexthop: Nexthop | undefined;
}

/** One rule (or a chain's policy) that a packet met and that took effect. */
export interface FilterStep extends StepBase {
  readonly kind: "rule";
  readonly rule: FilterRule;
  /** Rules that the kernel evaluated in this chain up to and including this one. */
  readonly evaluated: number;
  /** What came of it, as `jump KUBE-SERVICES`, `ACCEPT` or `mark 0x4000`. */
  readonly effect: string;
}

/** The end of one base chain's or table's run in a hook. */
export interface HookStep extends StepBase {
  readonly kind: "hook";
  readonly family: NfFamily;
  readonly hook: HookNumber;
  /** As `iptables nat` or `ip kube-proxy nat-prerouting`. */
  readonly table: string;
  readonly verdict: NfVerdict;
  /** Rules that the kernel evaluated in all its chains. */
  readonly evaluated: number;
}

export interface ConntrackStep extends StepBase {
  readonly kind: "conntrack";
  readonly event:
    | "new"
    | "established"
    | "reply"
    | "related"
    | "untracked"
    | "invalid"
    | "confirmed"
    | "parked";
  /** The connection as it was at that moment. */
  readonly entry: ConntrackEntry | undefined;
  /** Why a packet is invalid; empty otherwise. */
  readonly detail: string;
}

export interface NatStep extends StepBase {
  readonly kind: "nat";
  readonly manip: "source" | "destination";
  /** Before and after, with ports where the protocol has them. */
  readonly from: string;
  readonly to: string;
  /** Whether this undoes the translation of the connection's other direction. */
  readonly reply: boolean;
}

/** IPVS takes a packet; for a new connection its scheduler has chosen a real server. */
export interface IpvsStep extends StepBase {
  readonly kind: "ipvs";
  readonly event: "new" | "established" | "reply" | "no-server";
  /** The virtual service, in the syntax of `ipvsadm -Sn`. */
  readonly service: FilterRule;
  /** As `rr`. */
  readonly scheduler: string;
  /** Address and port of the real server; empty where there is none. */
  readonly server: string;
  /** For a new connection, why it was this server. */
  readonly detail: string;
}

export interface TunnelStep extends StepBase {
  readonly kind: "encapsulate" | "decapsulate";
  readonly dev: NetDevice;
  /** The outer packet, a copy without its payload's payload being copied. */
  readonly outer: IpPacket;
  /** As `VXLAN VNI 1`. */
  readonly protocol: string;
}

export interface FragmentStep extends StepBase {
  readonly kind: "fragment" | "reassemble";
  readonly count: number;
  readonly mtu: number;
}

export interface ForwardStep extends StepBase {
  readonly kind: "forward";
  readonly from: NetDevice | undefined;
  readonly to: NetDevice;
  /** After it was decremented. */
  readonly ttl: number;
}

export interface SocketStep extends StepBase {
  readonly kind: "send" | "deliver";
  readonly socket: Socket | undefined;
  readonly text: string;
}

export interface DropStep extends StepBase {
  readonly kind: "drop";
  readonly reason: DropReason;
  readonly dev: NetDevice | undefined;
  readonly detail: string;
  /** The rule that dropped it, where one did. */
  readonly rule: FilterRule | undefined;
}

/** An eBPF program has asked a map, written to it, or gone on with another program; before the {@link BpfStep} of the run. */
export interface BpfMapStep extends StepBase {
  readonly kind: "bpf-map";
  /** `undefined` for programs on sockets. */
  readonly dev: NetDevice | undefined;
  /** The program that did. */
  readonly program: string;
  /** `lookup`, `update`, `delete`, `tail-call`, `missed tail-call`, or the error number of what failed. */
  readonly operation: string;
  readonly map: AnyBpfMap;
  readonly key: string;
  /** `undefined` where there was none. */
  readonly value: string | undefined;
  /** The object that made an agent write the entry. */
  readonly origin: Origin | undefined;
}

/** The end of an eBPF program's run at a hook. */
export interface BpfStep extends StepBase {
  readonly kind: "bpf";
  /** `undefined` for programs on sockets. */
  readonly dev: NetDevice | undefined;
  /** As `tcx/ingress`, `tc/egress`, `xdp/native`, `cgroup/connect4`. */
  readonly hook: string;
  readonly program: string;
  /** As `TC_ACT_REDIRECT to eth0 (peer)`. */
  readonly verdict: string;
  /** Map look-ups of this run. */
  readonly lookups: number;
}

/** An Open vSwitch datapath looks a frame up, or does what a program has told it. */
export interface DatapathStep extends StepBase {
  readonly kind: "datapath";
  readonly datapath: Datapath;
  /** A flow fits; none does, and the program is asked; or the program has had a frame sent. */
  readonly event: "hit" | "miss" | "execute";
  /** The port it came in by. */
  readonly from: Vport | undefined;
  readonly key: FlowKey;
  readonly flow: DatapathFlow | undefined;
  /** Names of the ports it leaves by. */
  readonly to: readonly string[];
}

/** Anything worth a line that has no step of its own. */
export interface NoteStep extends StepBase {
  readonly kind: "note";
  readonly dev: NetDevice | undefined;
  readonly text: string;
}

export type TraceStep =
  | DeviceStep
  | BridgeStep
  | NeighbourStep
  | RouteStep
  | FilterStep
  | HookStep
  | ConntrackStep
  | NatStep
  | IpvsStep
  | TunnelStep
  | FragmentStep
  | ForwardStep
  | SocketStep
  | DropStep
  | BpfMapStep
  | BpfStep
  | DatapathStep
  | NoteStep;

/** A place in a record. */
export interface TraceMark {
  readonly steps: number;
  readonly packets: number;
}

/**
 * The record of a walk. Steps refer to live kernel objects (routes, rules, devices: immutable or
 * stable in what a trace shows) and become text only when somebody reads them.
 */
export class Trace {
  readonly steps: TraceStep[] = [];
  #packets = 0;

  /** A number for a packet that enters the record. */
  nextNumber(): number {
    return this.#packets++;
  }

  /** How far the record has come; see {@link rewind}. */
  mark(): TraceMark {
    return { steps: this.steps.length, packets: this.#packets };
  }

  /** Forgets what came after a mark, as an attempt that led nowhere. Its packets must be done with. */
  rewind({ steps, packets }: TraceMark): void {
    this.steps.length = steps;
    this.#packets = packets;
  }
}
