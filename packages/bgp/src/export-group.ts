import { type ExportTarget, exportRoute } from "./export.ts";
import { BgpMessages, END_OF_RIB, type Nlri, packUpdates, type Update } from "./message.ts";
import { type PathAttributes, sameAttributes } from "./path-attributes.ts";
import type { TableRoute } from "./route.ts";
import type { RouteTable, TableEntry } from "./table.ts";

/** A route that peers are told, and what they are told of it. */
interface Exported {
  readonly route: TableRoute;
  readonly nlri: Nlri;
  readonly attributes: PathAttributes;
}

/** One of a group: a session that is established and wants routes. */
export interface GroupMember {
  readonly name: string;
  send(messages: BgpMessages): void;
}

/**
 * Peers that are told the same: what BIRD works out for each of them is worked out once. Nobody is told what he told; that
 * is all that differs among them.
 */
export class ExportGroup {
  readonly members: Set<GroupMember> = new Set();
  readonly #target: ExportTarget;
  readonly #addPath: boolean;
  readonly #told = new Map<TableEntry, readonly Exported[]>();
  /** The first thing that members are told, until something changes. */
  #feed: BgpMessages | undefined;
  readonly #senders = new Set<unknown>();

  constructor(target: ExportTarget, addPath: boolean, table: RouteTable) {
    this.#target = target;
    this.#addPath = addPath;
    for (const entry of table.entries()) this.#set(entry, this.#exports(entry));
  }

  /**
   * Tells a new member everything there is.
   * @param endOfRib and that this was all
   * @param before the group that it was in, and was told other things in
   */
  join(member: GroupMember, endOfRib: boolean, before: ExportGroup | undefined): void {
    this.members.add(member);
    const withdrawn = before === undefined ? [] : this.#missing(before, member);
    if (withdrawn.length > 0) member.send(new BgpMessages(packUpdates(withdrawn, [])));
    member.send(this.#everything(member, endOfRib));
  }

  /** What another group told a member, and this one does not. */
  #missing(before: ExportGroup, member: unknown): Nlri[] {
    const missing: Nlri[] = [];
    for (const [entry, exported] of before.#told) {
      const now = this.#told.get(entry) ?? [];
      for (const { nlri, route } of exported) {
        if (route.sender === member) continue;
        const told = now.find((e) => e.nlri.pathId === nlri.pathId);
        if (told === undefined || told.route.sender === member) missing.push(nlri);
      }
    }
    return missing;
  }

  #everything(member: GroupMember, endOfRib: boolean): BgpMessages {
    const isShared = endOfRib && !this.#senders.has(member);
    if (isShared && this.#feed !== undefined) return this.#feed;
    const all: Exported[] = [];
    for (const exported of this.#told.values()) {
      for (const e of exported) if (e.route.sender !== (member as unknown)) all.push(e);
    }
    const updates: Update[] = packUpdates([], shareAttributes(all));
    const messages = new BgpMessages(endOfRib ? [...updates, END_OF_RIB] : updates);
    if (isShared) this.#feed = messages;
    return messages;
  }

  /** Tells the members what is new of these prefixes. */
  update(entries: Iterable<TableEntry>): void {
    const changes: { before: readonly Exported[]; now: readonly Exported[] }[] = [];
    const senders = new Set<unknown>();
    for (const entry of entries) {
      const before = this.#told.get(entry) ?? [];
      const now = this.#exports(entry);
      if (!differ(before, now)) continue;
      changes.push({ before, now });
      for (const { route } of before) senders.add(route.sender);
      for (const { route } of now) senders.add(route.sender);
      this.#set(entry, now);
    }
    if (changes.length === 0) return;
    this.#feed = undefined;
    let shared: BgpMessages | undefined;
    for (const member of [...this.members]) {
      let messages: BgpMessages;
      if (senders.has(member)) messages = changesFor(changes, member);
      else {
        shared ??= changesFor(changes, undefined);
        messages = shared;
      }
      if (messages.list.length > 0) member.send(messages);
    }
  }

  #set(entry: TableEntry, exported: readonly Exported[]): void {
    for (const { route } of exported) this.#senders.add(route.sender);
    if (exported.length === 0) this.#told.delete(entry);
    else this.#told.set(entry, exported);
  }

  #exports({ prefix, routes }: TableEntry): readonly Exported[] {
    const candidates = this.#addPath ? routes : routes.slice(0, 1);
    return candidates.flatMap((route) => {
      const attributes = exportRoute(route, this.#target);
      if (attributes === undefined) return [];
      return { route, nlri: { prefix, pathId: this.#addPath ? route.pathId : 0 }, attributes };
    });
  }
}

function changesFor(
  changes: readonly { before: readonly Exported[]; now: readonly Exported[] }[],
  member: unknown,
): BgpMessages {
  const withdrawn: Nlri[] = [];
  const announced: Exported[] = [];
  for (const { before, now } of changes) {
    const had = before.filter((e) => e.route.sender !== member);
    const has = now.filter((e) => e.route.sender !== member);
    for (const { nlri } of had) {
      if (!has.some((e) => e.nlri.pathId === nlri.pathId)) withdrawn.push(nlri);
    }
    for (const e of has) {
      const known = had.find((h) => h.nlri.pathId === e.nlri.pathId);
      if (known === undefined || !sameAttributes(known.attributes, e.attributes)) announced.push(e);
    }
  }
  return new BgpMessages(packUpdates(withdrawn, shareAttributes(announced)));
}

/** Equal attributes become one object, so that their prefixes go into one UPDATE. */
function shareAttributes(all: readonly Exported[]): readonly Exported[] {
  const known: PathAttributes[] = [];
  return all.map((e) => {
    const same = known.find((k) => sameAttributes(k, e.attributes));
    if (same !== undefined) return { ...e, attributes: same };
    if (known.length < MOST_COMPARED) known.push(e.attributes);
    return e;
  });
}

/** So many different attributes are compared with; the rest go into UPDATEs of their own. */
const MOST_COMPARED = 8;

function differ(before: readonly Exported[], now: readonly Exported[]): boolean {
  if (before.length !== now.length) return true;
  return before.some((e, i) => {
    const other = now[i] as Exported;
    return (
      e.route.sender !== other.route.sender ||
      e.nlri.pathId !== other.nlri.pathId ||
      !sameAttributes(e.attributes, other.attributes)
    );
  });
}
