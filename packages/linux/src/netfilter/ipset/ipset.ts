import type { IpFamily } from "@cnilab/net";
import type { FlowEffect } from "../../flow-cache.ts";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Skb } from "../../skb.ts";
import type { HookState } from "../hooks.ts";
import type { FieldValue } from "./element-syntax.ts";
import { kernelRefusal } from "./ipset-error.ts";
import type { Direction } from "./packet-fields.ts";
import type { SetType } from "./set-type.ts";

/** What `create` said of a set, with defaults filled in. */
export interface IpsetOptions {
  readonly family: IpFamily;
  readonly hashsize: number;
  readonly maxelem: number;
  readonly bucketsize: number;
  readonly initval: number;
  /** Bits of an address that count; all of them where it is not said. */
  readonly netmask: number | undefined;
  /** First and last port or address of a bitmap. */
  readonly range: { readonly from: number; readonly to: number } | undefined;
  /** Slots of a list. */
  readonly size: number;
  /** Default time to live in seconds, 0 for ever; `undefined` where elements do not age. */
  readonly timeout: number | undefined;
  readonly counters: boolean;
  readonly comment: boolean;
  readonly forceadd: boolean;
}

/** What `add` says beside the element, or `test` and `del`. */
export interface ElementOptions {
  /** Already added (or not there when deleted) is no error. */
  readonly exist: boolean;
  /** Seconds. */
  readonly timeout: number | undefined;
  readonly packets: number | undefined;
  readonly bytes: number | undefined;
  readonly comment: string | undefined;
  readonly nomatch: boolean;
  readonly wildcard: boolean;
  /** Of a list: the set next to which it stands. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/** What belongs to one element. */
export class Entry {
  /** Virtual milliseconds; infinite for one that stays. */
  expires: number = Number.POSITIVE_INFINITY;
  packets = 0;
  bytes = 0;
  comment: string | undefined = undefined;
  nomatch = false;
  wildcard = false;
}

/** What was in a set when it was shared; sets of other namespaces can have it as well. Immutable. */
export interface SharedElements {
  readonly type: SetType;
  readonly family: IpFamily;
}

/** A set of addresses, ports and the like that rules ask about (net/netfilter/ipset). */
export abstract class Ipset {
  name: string;
  readonly type: SetType;
  readonly options: IpsetOptions;
  /** Lists that it is in, and rules that ask it. */
  references = 0;
  protected readonly netns: NetNamespace;

  constructor(netns: NetNamespace, name: string, type: SetType, options: IpsetOptions) {
    this.netns = netns;
    this.name = name;
    this.type = type;
    this.options = options;
  }

  /** Parts of an element. */
  get dimensions(): number {
    return this.type.fields.length;
  }

  /** Elements that live. */
  abstract get size(): number;

  /** `add`: each of the elements that a range stands for, up to the first that is refused. */
  abstract add(values: readonly FieldValue[], options: ElementOptions): void;

  abstract delete(values: readonly FieldValue[], options: ElementOptions): void;

  /** `test`. */
  abstract test(values: readonly FieldValue[], options: ElementOptions): boolean;

  abstract flush(): void;

  /** Elements as `save` prints them behind the name of the set, in order. */
  abstract elements(): string[];

  /** Whether {@link share} can be asked for what is in it: nothing there changes by packets or time. */
  get isShareable(): boolean {
    return false;
  }

  /** What is in it now, for other namespaces. @throws RangeError where packets or time change elements */
  share(): SharedElements {
    throw new RangeError(`elements of a ${this.type.name} cannot be shared`);
  }

  /** Has these elements in place of its own, and a copy of them as soon as somebody changes one. @throws RangeError where they are another kind's */
  adopt(elements: SharedElements): void {
    throw new RangeError(`a ${this.type.name} takes no elements of a ${elements.type.name}`);
  }

  /** The element that a packet is in the set by. */
  protected abstract find(
    skb: Skb,
    state: HookState,
    directions: readonly Direction[],
  ): Entry | undefined;

  /**
   * Whether a packet is in the set, as `-m set --match-set NAME src,dst` asks. `directions` has one
   * word for each dimension, more do no harm; with fewer the answer is no. Counts the packet where the
   * set has counters.
   */
  matchesPacket(skb: Skb, state: HookState, directions: readonly Direction[]): boolean {
    if (!skb.isIp || directions.length < this.dimensions) return false;
    const entry = this.find(skb, state, directions);
    if (entry === undefined) return false;
    const { recording } = this.netns.network;
    if (entry.expires !== Number.POSITIVE_INFINITY) recording?.expires(entry.expires - 1);
    if (entry.nomatch) return false;
    if (this.options.counters) {
      const { length } = skb;
      entry.packets++;
      entry.bytes += length;
      recording?.effect(new EntryEffect(entry, length));
    }
    return true;
  }

  protected get now(): number {
    return this.netns.network.clock.now;
  }

  protected changed(): void {
    this.netns.network.touch();
  }

  /** Refuses what the set was not made for. */
  protected check(options: ElementOptions): void {
    if (options.timeout !== undefined && this.options.timeout === undefined) {
      throw kernelRefusal("Timeout cannot be used: set was created without timeout support");
    }
    if ((options.packets ?? options.bytes) !== undefined && !this.options.counters) {
      throw kernelRefusal(
        "Packet/byte counters cannot be used: set was created without counter support",
      );
    }
    if (options.comment !== undefined && !this.options.comment) {
      throw kernelRefusal("Comment cannot be used: set was created without comment support");
    }
  }

  /** Brings an entry up to date with an `add`. */
  protected update(entry: Entry, options: ElementOptions): void {
    const timeout = options.timeout ?? this.options.timeout;
    entry.expires =
      timeout === undefined || timeout === 0 ? Number.POSITIVE_INFINITY : this.now + timeout * 1000;
    entry.packets = options.packets ?? entry.packets;
    entry.bytes = options.bytes ?? entry.bytes;
    entry.comment = options.comment === "" ? undefined : options.comment;
    entry.nomatch = options.nomatch;
    entry.wildcard = options.wildcard;
  }

  /** What `save` prints behind an element. */
  protected describe(entry: Entry): string {
    let text = "";
    if (this.options.timeout !== undefined) text += ` timeout ${this.#secondsLeft(entry)}`;
    if (entry.nomatch) text += " nomatch";
    if (entry.wildcard) text += " wildcard";
    if (this.options.counters) text += ` packets ${entry.packets} bytes ${entry.bytes}`;
    if (entry.comment !== undefined) text += ` comment "${entry.comment}"`;
    return text;
  }

  /** 0 stands for ever, so what is about to end has 1 (`ip_set_timeout_get`). */
  #secondsLeft({ expires }: Entry): number {
    if (expires === Number.POSITIVE_INFINITY) return 0;
    return Math.max(1, Math.floor((expires - this.now) / 1000));
  }
}

export function alreadyAdded(): Error {
  return kernelRefusal("Element cannot be added to the set: it's already added");
}

export function notAdded(): Error {
  return kernelRefusal("Element cannot be deleted from the set: it's not added");
}

/** What each packet of a cached flow does to an element's counters. */
class EntryEffect implements FlowEffect {
  readonly #entry: Entry;
  readonly #bytes: number;

  constructor(entry: Entry, bytes: number) {
    this.#entry = entry;
    this.#bytes = bytes;
  }

  repeat(packets: number): void {
    this.#entry.packets += packets;
    this.#entry.bytes += packets * this.#bytes;
  }
}
