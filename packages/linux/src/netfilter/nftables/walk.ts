import type { IpPacket, Payload } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import type { HookState } from "../hooks.ts";
import { transportHeader } from "../transport-header.ts";
import type { StatementState, Table } from "./table.ts";

/** What an operation says of a packet. */
export type Outcome = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
/** The next operation of the rule. */
export const GO_ON = 0;
/** The rule does not match: the next rule. */
export const NEXT_RULE = 1;
export const ACCEPT = 2;
export const DROP = 3;
/** Into the chain {@link Walk.target}, and back. */
export const JUMP = 4;
/** Into the chain {@link Walk.target}, and back to where this chain was jumped from. */
export const GOTO = 5;
export const RETURN = 6;
/** Told by the operation itself: the packet is not for others any more. */
export const DROPPED = 7;

/** 32-bit words for what is loaded: as many as the kernel has (NFT_REG32_COUNT), and one key more. */
const REGISTERS = 40;

/** One packet on its way through one base chain: `struct nft_pktinfo` and `nft_regs`. */
export class Walk {
  skb!: Skb;
  state!: HookState;
  table!: Table;
  /** Number of the chain that a jump or goto leads to. */
  target = -1;
  /** Virtual milliseconds. */
  now = 0;
  readonly registers: Uint32Array = new Uint32Array(REGISTERS);
  /** What follows the IP header; `undefined` in all fragments but the first, and without IP. */
  transport: Payload | undefined;

  start(skb: Skb, state: HookState, table: Table): void {
    this.skb = skb;
    this.state = state;
    this.table = table;
    this.now = state.netns.network.clock.now;
    this.transport = skb.isIp ? transportHeader(skb.ip) : undefined;
  }

  get netns(): NetNamespace {
    return this.state.netns;
  }

  /** `undefined` for frames that carry something else. */
  get packet(): IpPacket | undefined {
    return this.skb.isIp ? this.skb.ip : undefined;
  }

  /** What packets have done to a counter, limit or quota of this table. */
  stateOf(key: object): StatementState {
    let state = this.table.states.get(key);
    if (state === undefined) {
      state = { packets: 0, bytes: 0, tokens: Number.NaN, updated: this.now };
      this.table.states.set(key, state);
    }
    return state;
  }
}

/** Walks that are under way: one within the other where a rule's answer passes the same hooks. */
const walks: Walk[] = [];
let depth = 0;

/** A walk for the packet; {@link endWalk} gives it back. */
export function beginWalk(skb: Skb, state: HookState, table: Table): Walk {
  let walk = walks[depth];
  if (walk === undefined) {
    walk = new Walk();
    walks.push(walk);
  }
  depth++;
  walk.start(skb, state, table);
  return walk;
}

export function endWalk(): void {
  depth--;
}
