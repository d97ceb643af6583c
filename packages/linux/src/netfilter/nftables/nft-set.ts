import type { Expression } from "./expression.ts";
import type { KeyPart } from "./key-words.ts";
import { SetElements } from "./set-elements.ts";
import type { Counter, Limit, ObjectType, Quota } from "./statement.ts";

export interface NftSetOptions {
  readonly name: string;
  readonly handle: number;
  /** In a rule itself; not listed by name. */
  readonly anonymous: boolean;
  readonly key: readonly KeyPart[];
  /** `typeof` instead of `type`. */
  readonly keyTypeOf: Expression | undefined;
  readonly data: readonly KeyPart[] | undefined;
  readonly dataTypeOf: Expression | undefined;
  /** A verdict map. */
  readonly verdicts: boolean;
  readonly objects: ObjectType | undefined;
  readonly isMap: boolean;
  readonly dataInterval: boolean;
  readonly constant: boolean;
  readonly dynamic: boolean;
  readonly interval: boolean;
  readonly timeout: boolean;
  readonly timeoutMs: number | undefined;
  readonly gcIntervalMs: number | undefined;
  readonly size: number | undefined;
  readonly policy: "performance" | "memory";
  readonly autoMerge: boolean;
  readonly stateful: readonly (Counter | Limit | Quota)[];
  readonly comment: string | undefined;
}

/** A set or map: `struct nft_set`. */
export class NftSet {
  readonly options: NftSetOptions;
  /**
   * What commands put into it. Of a set that packets or time change, each namespace has elements of
   * its own, which begin as a copy of these; see `Table.elementsOf`.
   */
  readonly elements: SetElements;
  /** The table that may change it; others put a copy in its place. None for anonymous sets. */
  readonly owner: object | undefined;

  constructor(options: NftSetOptions, owner?: object, elements?: SetElements) {
    this.options = options;
    this.owner = owner;
    this.elements = elements ?? new SetElements(options.key, options.interval);
  }

  get name(): string {
    return this.options.name;
  }

  /** Whether elements come and go without a command. */
  get volatile(): boolean {
    return this.options.dynamic || this.options.timeout;
  }

  /** A copy that another table may change. */
  cloneFor(owner: object, now: number): NftSet {
    const { elements } = this;
    return new NftSet(this.options, owner, this.volatile ? elements.clone(now) : elements.share());
  }
}
