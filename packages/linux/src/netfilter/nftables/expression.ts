import type { DataType } from "./data-type.ts";
import type { HeaderField } from "./header-field.ts";
import type { NftSet } from "./nft-set.ts";
import type { Location } from "./nftables-error.ts";
import type { CtKey, MetaKey } from "./packet-key.ts";
import type { Counter, Limit, Quota } from "./statement.ts";

/** A name or number as it was written; what it means depends on what it is compared with. */
export interface SymbolExpression {
  readonly kind: "symbol";
  readonly text: string;
  readonly quoted: boolean;
  readonly location: Location;
}

export interface ValueExpression {
  readonly kind: "value";
  readonly type: DataType;
  /** The first byte on the wire is the most significant. */
  readonly value: bigint;
  readonly bits: number;
}

/** `10.0.0.0/8`, and `cali*`: the first bits of a name. */
export interface PrefixExpression {
  readonly kind: "prefix";
  readonly base: Expression;
  readonly length: number;
  readonly location?: Location;
}

export interface RangeExpression {
  readonly kind: "range";
  readonly from: Expression;
  readonly to: Expression;
}

export interface PayloadExpression {
  readonly kind: "payload";
  readonly field: HeaderField;
}

export interface MetaExpression {
  readonly kind: "meta";
  readonly key: MetaKey;
}

export interface CtExpression {
  readonly kind: "ct";
  readonly key: CtKey;
  readonly direction: "original" | "reply" | undefined;
}

export type FibFlag = "saddr" | "daddr" | "mark" | "iif" | "oif";
export const FIB_FLAGS: readonly FibFlag[] = ["saddr", "daddr", "mark", "iif", "oif"];

export interface FibExpression {
  readonly kind: "fib";
  /** In the order of {@link FIB_FLAGS}. */
  readonly flags: readonly FibFlag[];
  readonly result: "type" | "oif" | "oifname";
  /** Only whether there is a route is asked: `fib … oif exists`. */
  readonly presence: boolean;
}

export interface NumgenExpression {
  readonly kind: "numgen";
  readonly mode: "inc" | "random";
  readonly modulus: number;
  readonly offset: number;
}

export interface HashExpression {
  readonly kind: "hash";
  /** `undefined` for the flow hash of the packet (`symhash`). */
  readonly of: Expression | undefined;
  readonly modulus: number;
  readonly seed: number | undefined;
  readonly offset: number;
}

export type BinaryOperator = "&" | "|" | "^" | "<<" | ">>";

export interface BinaryExpression {
  readonly kind: "binary";
  readonly operator: BinaryOperator;
  readonly left: Expression;
  readonly right: Expression;
}

export interface ConcatExpression {
  readonly kind: "concat";
  readonly parts: readonly Expression[];
}

/** `new,established`. */
export interface ListExpression {
  readonly kind: "list";
  readonly items: readonly Expression[];
}

export type VerdictKind = "accept" | "drop" | "continue" | "return" | "jump" | "goto" | "queue";

export interface VerdictExpression {
  readonly kind: "verdict";
  readonly verdict: VerdictKind;
  /** Of `jump` and `goto`. */
  readonly chain: string | undefined;
  readonly location: Location;
}

/** One element of a set, or of a map if it has `data`. */
export interface SetElement {
  /** `undefined` for `*`, which stands for all that is not there. */
  readonly key: Expression | undefined;
  readonly data: Expression | undefined;
  readonly timeoutMs: number | undefined;
  readonly expiresMs: number | undefined;
  readonly comment: string | undefined;
  readonly stateful: readonly (Counter | Limit | Quota)[];
  readonly location: Location;
}

export interface SetExpression {
  readonly kind: "set";
  readonly elements: readonly SetElement[];
  readonly location: Location;
}

/** `@name`; an anonymous set once it is in a rule. */
export interface SetReference {
  readonly kind: "setRef";
  readonly name: string;
  readonly location: Location;
  /** Set when the reference is resolved. */
  readonly set: NftSet | undefined;
}

export interface MapExpression {
  readonly kind: "map";
  readonly key: Expression;
  readonly mappings: SetExpression | SetReference;
  /** Gives verdicts: `vmap`. */
  readonly verdict: boolean;
}

export type Expression =
  | SymbolExpression
  | ValueExpression
  | PrefixExpression
  | RangeExpression
  | PayloadExpression
  | MetaExpression
  | CtExpression
  | FibExpression
  | NumgenExpression
  | HashExpression
  | BinaryExpression
  | ConcatExpression
  | ListExpression
  | VerdictExpression
  | SetExpression
  | SetReference
  | MapExpression;
