import type { EndpointSlice } from "@cnilab/core";
import { SelectorIndex } from "../selector/selector-index.ts";
import type { CandidateClasses } from "./candidate-classes.ts";
import { IpSet } from "./ip-set.ts";
import { contribution } from "./ip-set-contribution.ts";
import type { IpSetDefinition } from "./ip-set-definition.ts";
import { addTo, deleteFrom, type KeyedSets } from "./keyed-sets.ts";
import type { IpSetState, LabelClass, Member } from "./label-class.ts";
import { sameValue } from "./same-value.ts";
import { type SliceMembers, sliceMembers } from "./slice-members.ts";

/** The IP sets that active policies and profiles name, and who is in them (`felix/labelindex/named_port_index.go`, `felix/serviceindex`). */
export class IpSetIndex {
  readonly #suppressOverlaps: boolean;
  readonly #classes: CandidateClasses;
  readonly #states = new Map<string, IpSetState>();
  readonly #selectors = new SelectorIndex<IpSetState>();
  readonly #slices = new Map<string, SliceMembers>();
  readonly #slicesByService: KeyedSets<string, SliceMembers> = new Map();
  readonly #byService: KeyedSets<string, IpSetState> = new Map();
  readonly #unsettled = new Set<IpSetState>();
  #version = 0;

  constructor(classes: CandidateClasses, suppressOverlaps: boolean) {
    this.#classes = classes;
    this.#suppressOverlaps = suppressOverlaps;
  }

  get size(): number {
    return this.#states.size;
  }

  get(id: string): IpSetState | undefined {
    return this.#states.get(id);
  }

  /** Somebody names these sets. */
  acquire(definitions: readonly IpSetDefinition[]): void {
    for (const definition of definitions) {
      const state = this.#states.get(definition.id);
      if (state === undefined) this.#add(definition);
      else state.uses++;
    }
  }

  /** Who named these sets does so no longer. */
  release(definitions: readonly IpSetDefinition[]): void {
    for (const { id } of definitions) {
      const state = this.#states.get(id);
      if (state === undefined || --state.uses > 0) continue;
      const { definition } = state.set;
      this.#states.delete(id);
      this.#selectors.delete(state);
      if ("service" in definition) deleteFrom(this.#byService, definition.service, state);
      for (const each of state.classes) each.ipSets.delete(state);
      this.#unsettled.delete(state);
    }
  }

  /** A class is new, or its labels are others now. */
  match(each: LabelClass): void {
    const matching = new Set<IpSetState>();
    this.#selectors.forCandidates(each.labels(), (state) => {
      const { definition } = state.set;
      if ("selector" in definition && definition.selector.matches(each)) matching.add(state);
    });
    for (const state of matching) this.#include(state, each);
    for (const state of each.ipSets) if (!matching.has(state)) this.#exclude(state, each);
  }

  /** A class that has no members is gone. */
  forget(each: LabelClass): void {
    for (const state of each.ipSets) state.classes.delete(each);
  }

  /** A member of a class came or went. */
  count(member: Member, there: boolean): void {
    for (const state of member.labels.ipSets)
      this.#count(state, contribution(state.set.definition, member), there);
  }

  /** @param key `<namespace>/<name>` of the slice */
  setSlice(key: string, slice: EndpointSlice | undefined): void {
    const before = this.#slices.get(key);
    const now = slice && sliceMembers(slice);
    if (sameValue(before, now)) return;
    if (now === undefined) {
      this.#slices.delete(key);
    } else {
      this.#slices.set(key, now);
      addTo(this.#slicesByService, now.service, now);
      this.#countSlice(now, true);
    }
    if (before === undefined) return;
    deleteFrom(this.#slicesByService, before.service, before);
    this.#countSlice(before, false);
  }

  /** Makes all that came and went part of the sets. @returns those whose members are others now */
  settle(): readonly IpSetState[] {
    const changed = [...this.#unsettled].filter(({ set }) => set.settle());
    this.#unsettled.clear();
    return changed;
  }

  #add(definition: IpSetDefinition): void {
    const set = new IpSet(definition, this.#suppressOverlaps, () => ++this.#version);
    const state: IpSetState = { set, uses: 1, classes: new Set(), nodes: new Set() };
    this.#states.set(definition.id, state);
    if ("selector" in definition) {
      this.#selectors.add(state, definition.selector);
      this.#classes.forMatching(definition.selector, (each) => this.#include(state, each));
      return;
    }
    addTo(this.#byService, definition.service, state);
    for (const slice of this.#slicesByService.get(definition.service) ?? []) {
      this.#count(state, serviceMembers(state, slice), true);
    }
  }

  #include(state: IpSetState, each: LabelClass): void {
    if (each.ipSets.has(state)) return;
    each.ipSets.add(state);
    state.classes.add(each);
    for (const member of each.members)
      this.#count(state, contribution(state.set.definition, member), true);
  }

  #exclude(state: IpSetState, each: LabelClass): void {
    each.ipSets.delete(state);
    state.classes.delete(each);
    for (const member of each.members)
      this.#count(state, contribution(state.set.definition, member), false);
  }

  #countSlice(slice: SliceMembers, there: boolean): void {
    for (const state of this.#byService.get(slice.service) ?? []) {
      this.#count(state, serviceMembers(state, slice), there);
    }
  }

  #count(state: IpSetState, members: readonly string[], there: boolean): void {
    if (members.length === 0) return;
    this.#unsettled.add(state);
    for (const member of members) {
      if (there) state.set.add(member);
      else state.set.remove(member);
    }
  }
}

function serviceMembers({ set }: IpSetState, slice: SliceMembers): readonly string[] {
  return set.definition.type === "NET" ? slice.addresses : slice.withPorts;
}
