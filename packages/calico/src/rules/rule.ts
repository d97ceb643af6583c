import type { Origin } from "@cnilab/core";
import type { PortRange } from "../calc/messages.ts";

/** Which end of a packet a match looks at. */
export type Side = "source" | "destination";

/** One criterion of a rule (`felix/generictables/match_builder.go`). All of a rule's must hold. */
export type RuleMatch =
  | {
      readonly match: "mark";
      readonly value: number;
      readonly mask: number;
      readonly negated?: boolean;
    }
  | {
      readonly match: "interface";
      readonly direction: "in" | "out";
      readonly name: string;
      /** All interfaces whose names start so. */
      readonly prefix?: boolean;
    }
  /** A source that would not be routed back where it came from. */
  | { readonly match: "rpfilter-failed" }
  | {
      readonly match: "addrtype";
      readonly side: Side;
      readonly type: "LOCAL";
      /** Looked up with the outgoing interface. */
      readonly limitIfaceOut?: boolean;
      readonly negated?: boolean;
    }
  | { readonly match: "ctstate"; readonly states: string; readonly negated?: boolean }
  | { readonly match: "dnat"; readonly negated?: boolean }
  | {
      readonly match: "protocol";
      readonly protocol: string | number;
      readonly negated?: boolean;
    }
  | { readonly match: "net"; readonly side: Side; readonly net: string; readonly negated?: boolean }
  | {
      readonly match: "ip-set";
      readonly side: Side;
      readonly set: string;
      readonly negated?: boolean;
    }
  | {
      readonly match: "ip-port-set";
      readonly side: Side;
      readonly set: string;
      readonly negated?: boolean;
    }
  | {
      readonly match: "ports";
      readonly side: Side;
      readonly ports: readonly PortRange[];
      readonly negated?: boolean;
    }
  /** `--dport`: the protocol's own match, not `multiport`. */
  | { readonly match: "port"; readonly port: number }
  | {
      readonly match: "icmp";
      readonly version: 4 | 6;
      readonly type: number;
      readonly code?: number;
      readonly negated?: boolean;
    }
  | { readonly match: "limit"; readonly rate: string; readonly burst: number }
  /** An ARP answer that says it is from an address; nftables only. */
  | { readonly match: "arp-reply"; readonly from: string }
  /** The verdict of a map by the interface's name; nftables only. */
  | { readonly match: "verdict-map"; readonly direction: "in" | "out"; readonly map: string };

/** What a rule does (`felix/generictables/actions.go`). */
export type TableAction =
  | { readonly action: "accept" | "drop" | "reject" | "return" | "notrack" }
  | { readonly action: "jump" | "goto"; readonly chain: string }
  | { readonly action: "set-mark" | "clear-mark"; readonly mark: number }
  | { readonly action: "set-masked-mark"; readonly mark: number; readonly mask: number }
  | { readonly action: "log"; readonly prefix: string }
  | { readonly action: "dnat"; readonly to: string }
  | { readonly action: "snat"; readonly to: string }
  | { readonly action: "masquerade"; readonly toPorts?: string }
  /** iptables marks what is within the rate, nftables drops what is over it. */
  | {
      readonly action: "limit-packet-rate";
      readonly rate: number;
      readonly burst: number;
      readonly mark: number;
    }
  /** More connections are answered by a reset. */
  | { readonly action: "limit-connections"; readonly above: number }
  | { readonly action: "dscp"; readonly value: number };

/** A rule of a chain. Without matches it is for every packet, without an action it only bears its comments. */
export interface TableRule {
  readonly matches?: readonly RuleMatch[];
  readonly action?: TableAction;
  readonly comments?: readonly string[];
  /** The object that made Felix program it. */
  readonly origin?: Origin;
}

/** A chain of one of the four tables. */
export interface TableChain {
  readonly name: string;
  readonly rules: readonly TableRule[];
}

export const ACCEPT: TableAction = { action: "accept" };
export const DROP: TableAction = { action: "drop" };
export const REJECT: TableAction = { action: "reject" };
export const RETURN: TableAction = { action: "return" };
export const NOTRACK: TableAction = { action: "notrack" };

export function jump(chain: string): TableAction {
  return { action: "jump", chain };
}

export function goTo(chain: string): TableAction {
  return { action: "goto", chain };
}

export function setMark(mark: number): TableAction {
  return { action: "set-mark", mark };
}

export function clearMark(mark: number): TableAction {
  return { action: "clear-mark", mark };
}

/** None of the bits is set. */
export function markClear(bits: number): RuleMatch {
  return { match: "mark", value: 0, mask: bits };
}

/** At least one of the bits is set. */
export function markNotClear(bits: number): RuleMatch {
  return { match: "mark", value: 0, mask: bits, negated: true };
}

export function markSet(bit: number): RuleMatch {
  return { match: "mark", value: bit, mask: bit };
}

export function protocol(name: string | number): RuleMatch {
  return { match: "protocol", protocol: name };
}

export function interfaces(direction: "in" | "out", prefix: string): RuleMatch {
  return { match: "interface", direction, name: prefix, prefix: true };
}

export function ports(side: Side, ...numbers: readonly number[]): RuleMatch {
  return { match: "ports", side, ports: numbers.map((port) => ({ first: port, last: port })) };
}

export function ipSet(side: Side, set: string): RuleMatch {
  return { match: "ip-set", side, set };
}

export function notIpSet(side: Side, set: string): RuleMatch {
  return { match: "ip-set", side, set, negated: true };
}

export const ESTABLISHED: RuleMatch = { match: "ctstate", states: "RELATED,ESTABLISHED" };
export const INVALID: RuleMatch = { match: "ctstate", states: "INVALID" };

/** IP sets that a chain's rules name. */
export function ipSetsOf(chain: TableChain): Set<string> {
  const sets = new Set<string>();
  for (const { matches } of chain.rules) {
    for (const match of matches ?? []) {
      if (match.match === "ip-set" || match.match === "ip-port-set") sets.add(match.set);
    }
  }
  return sets;
}

/** Chains that a chain's rules go to. */
export function chainsCalledBy(chain: TableChain): Set<string> {
  const called = new Set<string>();
  for (const { action } of chain.rules) {
    if (action?.action === "jump" || action?.action === "goto") called.add(action.chain);
  }
  return called;
}
