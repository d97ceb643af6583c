import type {
  BinaryExpression,
  CtExpression,
  Expression,
  MetaExpression,
  PayloadExpression,
  SetReference,
  VerdictExpression,
  VerdictKind,
} from "./expression.ts";
import type { Location } from "./nftables-error.ts";

export type ComparisonOperator = "" | "==" | "!=" | "<" | ">" | "<=" | ">=" | "!";

/** `ip saddr 10.0.0.0/8`. No operator means equality, membership, or any of the bits of a mask. */
export interface Match {
  readonly kind: "match";
  readonly operator: ComparisonOperator;
  readonly left: Expression;
  readonly right: Expression;
  /** Of `tcp flags syn / syn,ack`: what of `left` is compared. */
  readonly mask?: Expression;
  /** nft adds it before what needs it, and leaves it out of listings where that shows it. */
  readonly implied?: boolean;
  readonly location: Location;
}

export interface VerdictStatement {
  readonly kind: "verdict";
  readonly verdict: VerdictExpression;
}

/** `… vmap …`: the verdict of what the key is mapped to. */
export interface VerdictMap {
  readonly kind: "vmap";
  readonly map: Expression;
  readonly location: Location;
}

export interface Counter {
  readonly kind: "counter";
  readonly packets: number;
  readonly bytes: number;
}

export interface Quota {
  readonly kind: "quota";
  readonly over: boolean;
  readonly bytes: number;
  readonly used: number;
}

/** `limit rate`: a token bucket. */
export interface Limit {
  readonly kind: "limit";
  readonly over: boolean;
  /** Packets or bytes in each unit of time. */
  readonly rate: number;
  readonly unitSeconds: number;
  readonly burst: number;
  readonly countsBytes: boolean;
}

/** `ct count`: how many connections have met the rule. */
export interface ConnectionLimit {
  readonly kind: "ctCount";
  readonly over: boolean;
  readonly count: number;
}

/** `counter name "x"`. */
export interface ObjectReference {
  readonly kind: "object";
  readonly objectType: ObjectType;
  readonly name: string;
  readonly location: Location;
}

export type ObjectType = "counter" | "quota" | "limit";

export interface Log {
  readonly kind: "log";
  readonly prefix: string | undefined;
  readonly group: number | undefined;
  readonly snaplen: number | undefined;
  readonly queueThreshold: number | undefined;
  readonly level: string | undefined;
  /** As listed: `tcp sequence`, `tcp options`, `ip options`, `skuid`, `ether`, or `all`. */
  readonly flags: readonly string[];
}

export interface Reject {
  readonly kind: "reject";
  readonly type: "tcp reset" | "icmp" | "icmpv6" | "icmpx";
  /** Absent for a reset. */
  readonly code: Expression | undefined;
  /** Port-unreachable was spelled out, and the rule says so when it is listed. */
  readonly spelled: boolean;
  readonly location: Location;
}

export type NatKind = "snat" | "dnat" | "masquerade" | "redirect";
export type NatFlag = "random" | "fully-random" | "persistent";
export const NAT_FLAGS: readonly NatFlag[] = ["random", "fully-random", "persistent"];

export interface Nat {
  readonly kind: "nat";
  readonly nat: NatKind;
  /** Said with `ip` or `ip6`, or that of the table. */
  readonly family: 4 | 6 | undefined;
  /** Listings name the family where the table's does not tell it. */
  readonly showFamily: boolean;
  readonly address: Expression | undefined;
  readonly port: Expression | undefined;
  readonly prefix: boolean;
  /** `ip addr . port` before the address: a concatenation of both. */
  readonly addressAndPort: boolean;
  readonly flags: readonly NatFlag[];
  readonly location: Location;
}

/** `meta mark set …`, `ct mark set …`, `ip dscp set …`. */
export interface Mangle {
  readonly kind: "mangle";
  readonly target: MetaExpression | CtExpression | PayloadExpression;
  readonly value: Expression;
  readonly location: Location;
}

export interface Notrack {
  readonly kind: "notrack";
}

export interface Queue {
  readonly kind: "queue";
  readonly to: Expression | undefined;
  readonly bypass: boolean;
  readonly fanout: boolean;
}

/** `update @s { ip saddr }`: the packet path changes a set or map. */
export interface SetUpdate {
  readonly kind: "setUpdate";
  readonly operation: "add" | "update" | "delete";
  readonly set: SetReference;
  readonly key: Expression;
  readonly data: Expression | undefined;
  readonly timeoutMs: number | undefined;
  readonly stateful: readonly (Counter | Limit | Quota)[];
  readonly location: Location;
}

export type Statement =
  | Match
  | VerdictStatement
  | VerdictMap
  | Counter
  | Quota
  | Limit
  | ConnectionLimit
  | ObjectReference
  | Log
  | Reject
  | Nat
  | Mangle
  | Notrack
  | Queue
  | SetUpdate;

export type { BinaryExpression, VerdictKind };
