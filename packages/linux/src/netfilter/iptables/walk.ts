import { type IpPacket, type Payload, SctpPacket, TcpSegment, UdpDatagram } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import type { FilterRule } from "../filter-rule.ts";
import type { HookState } from "../hooks.ts";
import { transportHeader } from "../transport-header.ts";
import type { ExtensionState } from "./extension-state.ts";

/** One packet in one table at one hook: what matches ask and targets change (`struct xt_action_param`). */
export class Walk {
  readonly skb: Skb;
  readonly packet: IpPacket;
  readonly state: HookState;
  /** What matches remember in this namespace. */
  readonly memory: ExtensionState;
  /** Name of the device it came in by; empty for none. */
  readonly in: string;
  /** Name of the device it leaves by; empty for none. */
  readonly out: string;
  /** What follows the IP header; `undefined` in all fragments but the first. */
  readonly transport: Payload | undefined;
  /** Rules that the kernel has evaluated so far. */
  evaluated = 0;
  /** The rule or policy that dropped it. */
  dropRule: FilterRule | undefined = undefined;

  constructor(skb: Skb, state: HookState, memory: ExtensionState) {
    this.skb = skb;
    this.packet = skb.ip;
    this.state = state;
    this.memory = memory;
    this.in = state.in === undefined ? "" : state.in.name;
    this.out = state.out === undefined ? "" : state.out.name;
    this.transport = transportHeader(this.packet);
  }

  get netns(): NetNamespace {
    return this.state.netns;
  }

  /** -1 where there is none to read. */
  get srcPort(): number {
    const header = this.transport;
    return hasPorts(header) ? header.srcPort : -1;
  }

  /** -1 where there is none to read. */
  get dstPort(): number {
    const header = this.transport;
    return hasPorts(header) ? header.dstPort : -1;
  }
}

function hasPorts(header: Payload | undefined): header is TcpSegment | UdpDatagram | SctpPacket {
  return (
    header instanceof TcpSegment || header instanceof UdpDatagram || header instanceof SctpPacket
  );
}
