import { type Prefix, tryParsePrefix } from "@cnilab/net";
import type { IpSetDefinition } from "./ip-set-definition.ts";
import type { IpSetType } from "./messages.ts";
import { PrefixCover } from "./prefix-cover.ts";

/** The members of an IP set at one moment. Immutable: the same object as long as they are the same, for all nodes. */
export interface IpSetMembers {
  readonly type: IpSetType;
  /** Of both families: `10.0.0.0/24`, or `10.0.0.1,tcp:80`. */
  readonly members: ReadonlySet<string>;
  /** No two objects of one graph have the same. */
  readonly version: number;
  /** What is different from an older object: who has that one need not compare. Absent for the first. */
  readonly since?: IpSetDelta;
}

/** How members came to be from those of an older version. */
export interface IpSetDelta {
  readonly version: number;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** An IP set that some policy in the cluster names: members counted, as several endpoints may have one address (`felix/labelindex/named_port_index.go`). */
export class IpSet {
  readonly definition: IpSetDefinition;
  readonly #nextVersion: () => number;
  readonly #counts = new Map<string, number>();
  /** Members not hidden by a wider one. */
  readonly #visible = new Set<string>();
  /** Whose count went from or to 0 since the last {@link settle}. */
  readonly #touched = new Set<string>();
  /** Ranges among the members; `undefined` where ranges may overlap. */
  readonly #cover: PrefixCover | undefined;
  #coverChanged = false;
  #snapshot: IpSetMembers | undefined;
  #last: IpSetMembers | undefined;
  #added = new Set<string>();
  #removed = new Set<string>();

  /** @param suppressOverlaps leaves out members within wider ones, which an nftables set of intervals cannot hold */
  constructor(definition: IpSetDefinition, suppressOverlaps: boolean, nextVersion: () => number) {
    this.definition = definition;
    this.#nextVersion = nextVersion;
    this.#cover =
      suppressOverlaps && "selector" in definition && definition.type === "NET"
        ? new PrefixCover()
        : undefined;
  }

  add(member: string): void {
    const count = this.#counts.get(member) ?? 0;
    this.#counts.set(member, count + 1);
    if (count === 0) this.#touch(member, true);
  }

  remove(member: string): void {
    const count = this.#counts.get(member) ?? 0;
    if (count > 1) {
      this.#counts.set(member, count - 1);
      return;
    }
    this.#counts.delete(member);
    if (count === 1) this.#touch(member, false);
  }

  /** Makes what was added and removed part of the members. @returns whether they are others now */
  settle(): boolean {
    if (this.#touched.size === 0) return false;
    // A range that came or went may have hidden any of the others.
    const candidates = this.#coverChanged
      ? new Set([...this.#counts.keys(), ...this.#visible])
      : this.#touched;
    let changed = false;
    for (const member of candidates) {
      const wanted = this.#counts.has(member) && !this.#hidden(member);
      if (wanted === this.#visible.has(member)) continue;
      changed = true;
      if (wanted) this.#visible.add(member);
      else this.#visible.delete(member);
      if (this.#last !== undefined) (wanted ? this.#added : this.#removed).add(member);
    }
    this.#touched.clear();
    this.#coverChanged = false;
    if (changed) this.#snapshot = undefined;
    return changed;
  }

  /** The members, as of the last {@link settle}. Made when first asked for. */
  get members(): IpSetMembers {
    if (this.#snapshot === undefined) {
      const last = this.#last;
      this.#snapshot = {
        type: this.definition.type,
        members: new Set(this.#visible),
        version: this.#nextVersion(),
        ...(last !== undefined && { since: this.#delta(last) }),
      };
      this.#last = this.#snapshot;
      this.#added = new Set();
      this.#removed = new Set();
    }
    return this.#snapshot;
  }

  /** What came and went, or went and came, is in neither list. */
  #delta({ version, members }: IpSetMembers): IpSetDelta {
    return {
      version,
      added: [...this.#added].filter((m) => this.#visible.has(m) && !members.has(m)),
      removed: [...this.#removed].filter((m) => !this.#visible.has(m) && members.has(m)),
    };
  }

  #touch(member: string, there: boolean): void {
    this.#touched.add(member);
    if (this.#cover === undefined) return;
    const prefix = wideMember(member);
    if (prefix === undefined) return;
    if (there) this.#cover.add(prefix);
    else this.#cover.delete(prefix);
    this.#coverChanged = true;
  }

  #hidden(member: string): boolean {
    if (this.#cover === undefined || this.#cover.isEmpty) return false;
    const prefix = tryParsePrefix(member);
    return prefix !== undefined && this.#cover.covers(prefix);
  }
}

/** Most members are single addresses, which hide none. */
function wideMember(member: string): Prefix | undefined {
  if (member.endsWith(member.includes(":") ? "/128" : "/32")) return undefined;
  const prefix = tryParsePrefix(member);
  return prefix !== undefined && PrefixCover.isWide(prefix) ? prefix : undefined;
}
