import type { DataType } from "./data-type.ts";
import type { Expression, SetElement } from "./expression.ts";
import type { Location } from "./nftables-error.ts";
import type { Counter, Limit, ObjectType, Quota, Statement } from "./statement.ts";

/** Which packets the chains of a table are for. */
export type TableFamily = "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev";
export const TABLE_FAMILIES: readonly TableFamily[] = [
  "ip",
  "ip6",
  "inet",
  "arp",
  "bridge",
  "netdev",
];

export type ChainType = "filter" | "nat" | "route";

/** Where a base chain is attached: `type nat hook postrouting priority srcnat; policy accept;`. */
export interface BaseChainSpec {
  readonly type: ChainType;
  readonly hook: string;
  readonly devices: readonly string[];
  /** A number, or a name and what is added to it. */
  readonly priority: { readonly name: string | undefined; readonly offset: number };
  readonly location: Location;
}

export interface ChainSpec {
  readonly base: BaseChainSpec | undefined;
  readonly policy: "accept" | "drop" | undefined;
  readonly comment: string | undefined;
}

/** A set's key or a map's data: types by name, or the type of an expression. */
export type TypeSpec = { readonly types: readonly DataType[] } | { readonly typeOf: Expression };

export interface SetSpec {
  readonly key: TypeSpec | undefined;
  /** `verdict` has a type of its own; objects are named by kind. */
  readonly data: TypeSpec | undefined;
  readonly objects: ObjectType | undefined;
  readonly isMap: boolean;
  readonly dataInterval: boolean;
  readonly flags: readonly ("constant" | "dynamic" | "interval" | "timeout")[];
  readonly timeoutMs: number | undefined;
  readonly gcIntervalMs: number | undefined;
  readonly size: number | undefined;
  readonly policy: "performance" | "memory";
  readonly autoMerge: boolean;
  readonly stateful: readonly (Counter | Limit | Quota)[];
  readonly comment: string | undefined;
}

export interface RuleSpec {
  readonly statements: readonly Statement[];
  readonly comment: string | undefined;
  readonly location: Location;
}

/** What may stand before an object: how strict the kernel is about whether it exists. */
export type AddVerb = "add" | "create";
export type DeleteVerb = "delete" | "destroy";

export interface TablePath {
  readonly family: TableFamily;
  readonly table: string;
  /** Of what the command is about. */
  readonly location: Location;
  /** Of the table's name. */
  readonly tableLocation: Location;
}

export type Command = TablePath &
  (
    | {
        readonly kind: "addTable";
        readonly verb: AddVerb;
        readonly comment: string | undefined;
        readonly dormant: boolean | undefined;
      }
    | {
        readonly kind: "addChain";
        readonly verb: AddVerb;
        readonly chain: string;
        readonly spec: ChainSpec;
      }
    | {
        readonly kind: "addSet";
        readonly verb: AddVerb;
        readonly set: string;
        readonly spec: SetSpec;
      }
    | {
        readonly kind: "addElements";
        readonly verb: AddVerb;
        readonly set: string;
        readonly elements: readonly SetElement[];
      }
    | {
        readonly kind: "addObject";
        readonly verb: AddVerb;
        readonly name: string;
        readonly object: Counter | Limit | Quota;
        readonly comment: string | undefined;
      }
    | {
        readonly kind: "addRule";
        readonly where: "append" | "insert" | "replace";
        readonly chain: string;
        readonly chainLocation: Location;
        /** Next to the rule with this handle, or with this index. */
        readonly handle: number | undefined;
        readonly index: number | undefined;
        /** Of that handle or index. */
        readonly placeLocation: Location;
        readonly rule: RuleSpec;
      }
    | {
        readonly kind: "deleteTable";
        readonly verb: DeleteVerb;
        readonly handle: number | undefined;
      }
    | {
        readonly kind: "deleteChain";
        readonly verb: DeleteVerb;
        readonly chain: string;
        readonly handle: number | undefined;
      }
    | {
        readonly kind: "deleteSet";
        readonly verb: DeleteVerb;
        readonly set: string;
        readonly handle: number | undefined;
      }
    | {
        readonly kind: "deleteElements";
        readonly verb: DeleteVerb;
        readonly set: string;
        readonly elements: readonly SetElement[];
      }
    | {
        readonly kind: "deleteObject";
        readonly verb: DeleteVerb;
        readonly objectType: ObjectType;
        readonly name: string;
      }
    | {
        readonly kind: "deleteRule";
        readonly chain: string;
        readonly chainLocation: Location;
        readonly handle: number;
      }
    | { readonly kind: "flushTable" }
    | { readonly kind: "flushChain"; readonly chain: string }
    | { readonly kind: "flushSet"; readonly set: string }
    | { readonly kind: "renameChain"; readonly chain: string; readonly name: string }
    /** `flush ruleset`, of one family or of all. */
    | { readonly kind: "flushRuleset"; readonly onlyFamily: TableFamily | undefined }
    /** Changes nothing; the session prints it. */
    | { readonly kind: "list" }
  );
