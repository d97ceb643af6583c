import type { LabelSelector, Labels } from "@cnilab/core";
import { familyOf, type IpFamily } from "@cnilab/net";
import { compareText } from "../compare-text.ts";
import { labelKeys } from "../policy/label-expression.ts";
import type { PolicySettings } from "../policy/match.ts";
import {
  type BlockTerm,
  type PeerTerm,
  type PodTerm,
  type Policy,
  rulesOf,
  type SimpleTerm,
  simpleTerms,
  tellsLocal,
  termsOf,
} from "../policy/policy.ts";
import type { NamedPort, PolicyEndpoint } from "../policy/policy-endpoint.ts";
import {
  andInto,
  andNotInto,
  type Bits,
  emptyBits,
  forEachBit,
  fullBits,
  hasBit,
  orInto,
  setBit,
} from "./bits.ts";
import { BlockIndex } from "./block-index.ts";
import { LabelIndex, requirements } from "./label-index.ts";
import { Partition } from "./partition.ts";

/** Endpoints that no policy tells from each other. */
export interface EndpointClass {
  /** Places in the list of endpoints, upwards. */
  readonly members: readonly number[];
  /** One of them. */
  readonly example: PolicyEndpoint;
  /** Place of its named ports among those of all endpoints. */
  readonly portList: number;
}

/**
 * Sorts endpoints into classes: first by what selectors can see of them, then by which terms of the policies admit
 * them. Terms are answered for whole groups, so that ten thousand replicas cost what one does.
 */
export class EndpointClasses {
  readonly classes: readonly EndpointClass[];
  /** For each endpoint, its class. */
  readonly classOf: Int32Array;
  /** Each list of named ports, as far as rules name them, that some endpoint has; once. */
  readonly portLists: readonly (readonly NamedPort[])[];
  readonly #admitted: ReadonlyMap<string, Admitted>;

  constructor(
    policies: readonly Policy[],
    endpoints: readonly PolicyEndpoint[],
    settings: PolicySettings,
  ) {
    const terms = distinctTerms(policies);
    const groups = new Groups([...terms.values()], portNames(policies), endpoints, settings);
    const admitted = new Map<string, Admitted>();
    for (const [key, term] of terms) {
      const local = groups.admittedBy(term, true);
      admitted.set(key, {
        local,
        elsewhere: tellsLocal(term) ? groups.admittedBy(term, false) : local,
      });
    }
    // Groups that all terms treat alike are one class.
    const partition = new Partition(groups.size, (group) => groups.portList(group));
    for (const { local, elsewhere } of admitted.values()) {
      partition.split(local);
      if (elsewhere !== local) partition.split(elsewhere);
    }
    const subjects = policies.map(
      (policy) => (admitted.get(termKey(policy.subject)) as Admitted).local,
    );
    const classOfGroup = numberedBySubjects(partition, groups.size, subjects);
    const members: number[][] = Array.from({ length: partition.count }, () => []);
    this.classOf = new Int32Array(endpoints.length);
    for (let i = 0; i < endpoints.length; i++) {
      const found = classOfGroup[groups.groupOf[i] as number] as number;
      this.classOf[i] = found;
      (members[found] as number[]).push(i);
    }
    this.classes = members.map((each) => {
      const first = each[0] as number;
      return {
        members: each,
        example: endpoints[first] as PolicyEndpoint,
        portList: groups.portList(groups.groupOf[first] as number),
      };
    });
    this.portLists = groups.portLists;
    const ofClasses = (bits: Bits) => classBits(bits, classOfGroup, this.classes.length);
    this.#admitted = new Map(
      [...admitted].map(([key, { local, elsewhere }]) => {
        const bits = ofClasses(local);
        return [key, { local: bits, elsewhere: elsewhere === local ? bits : ofClasses(elsewhere) }];
      }),
    );
  }

  /**
   * Which classes a term of one of the policies admits. Not to be written to.
   * @param isLocal for endpoints on the node of whom a rule is asked for, as is everybody for himself
   */
  admittedBy(term: PeerTerm, isLocal = true): Bits {
    const found = this.#admitted.get(termKey(term));
    if (found === undefined) throw new Error(`no policy has the term ${termKey(term)}`);
    return isLocal ? found.local : found.elsewhere;
  }
}

/** Whom a term admits on the node of whom it is asked for, and on others; the same object where that is the same. */
interface Admitted {
  readonly local: Bits;
  readonly elsewhere: Bits;
}

/**
 * The class of each group, where classes that the same policies select have numbers next to each other: their rows are
 * equal then, which makes all pairs quicker to see.
 */
function numberedBySubjects(
  partition: Partition,
  groups: number,
  subjects: readonly Bits[],
): Int32Array {
  const selecting: number[][] = Array.from({ length: partition.count }, () => []);
  subjects.forEach((bits, policy) => {
    forEachBit(bits, (group) => {
      const list = selecting[partition.classOf(group)] as number[];
      if (list.at(-1) !== policy) list.push(policy);
    });
  });
  const keys = selecting.map((list) => list.join());
  const order = keys
    .map((_, i) => i)
    .sort((x, y) => compareText(keys[x] as string, keys[y] as string) || x - y);
  const numbers = new Int32Array(partition.count);
  order.forEach((old, number) => {
    numbers[old] = number;
  });
  return Int32Array.from(
    { length: groups },
    (_, group) => numbers[partition.classOf(group)] as number,
  );
}

/** Groups of one class are in a set together or not at all. */
function classBits(ofGroups: Bits, classOfGroup: Int32Array, classes: number): Bits {
  const bits = emptyBits(classes);
  forEachBit(ofGroups, (group) => setBit(bits, classOfGroup[group] as number));
  return bits;
}

function distinctTerms(policies: readonly Policy[]): ReadonlyMap<string, PeerTerm> {
  const terms = new Map<string, PeerTerm>();
  for (const term of termsOf(policies)) terms.set(termKey(term), term);
  return terms;
}

/** Names of ports that some rule names. */
function portNames(policies: readonly Policy[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { rule } of rulesOf(policies)) {
    for (const terms of [rule.ports, rule.notPorts, rule.sourcePorts, rule.notSourcePorts]) {
      for (const term of terms ?? []) if ("portName" in term) names.add(term.portName);
    }
  }
  return names;
}

const keys = new WeakMap<PeerTerm, string>();

function termKey(term: PeerTerm): string {
  let key = keys.get(term);
  if (key === undefined) {
    key = textOf(term);
    keys.set(term, key);
  }
  return key;
}

function textOf(term: PeerTerm): string {
  if (term.kind === "block") return `block ${term.cidrs.join(" ")} but ${term.except.join(" ")}`;
  if (!("of" in term)) return JSON.stringify(term);
  const parts = term.kind === "not" ? [term.of] : term.of;
  return `${term.kind}(${parts.map(termKey).join(", ")})`;
}

/** Endpoints that look alike to any selector and address block of the policies. */
class Groups {
  readonly groupOf: Int32Array;
  readonly portLists: readonly (readonly NamedPort[])[];
  readonly #blocks: readonly BlockTerm[];
  readonly #blockKeys: ReadonlyMap<string, number>;
  readonly #groups: Group[] = [];
  readonly #pods: LabelIndex;
  readonly #namespaces: LabelIndex;
  readonly #nodes: LabelIndex;
  readonly #labels: LabelIndex;
  /** Groups of pods by label set, and by namespace. */
  readonly #byLabels: ReadonlyMap<number, readonly number[]>;
  readonly #byNamespace: ReadonlyMap<string, readonly number[]>;

  constructor(
    combined: readonly PeerTerm[],
    names: ReadonlySet<string>,
    endpoints: readonly PolicyEndpoint[],
    settings: PolicySettings,
  ) {
    const terms = combined.flatMap(simpleTerms);
    this.#blocks = terms.filter((term): term is BlockTerm => term.kind === "block");
    this.#blockKeys = new Map(this.#blocks.map((term, i) => [termKey(term), i]));
    const ranges = new AddressRanges(this.#blocks, settings);
    const podLabels = new LabelSets(usedKeys(podSelectors(terms)));
    const nodeLabels = new LabelSets(usedKeys(nodeSelectors(terms)));
    const labels = new LabelSets(expressionKeys(terms));
    const namespaces = new LabelSets();
    const portLists = new Numbering<readonly NamedPort[]>();
    const numbers = new Map<string, number>();
    const byNamespace = new Map<string, number[]>();
    const byLabels = new Map<number, number[]>();
    this.groupOf = Int32Array.from(endpoints, (endpoint) => {
      const { pod, nodeLabels: ofNode, labels: own } = endpoint;
      const ports = endpoint.ports?.filter(({ name }) => names.has(name)) ?? [];
      const group: Group = {
        admitting: ranges.admitting(endpoint),
        ports: portLists.of(JSON.stringify(ports), ports),
        namespace: pod && namespaces.of(pod.namespaceLabels),
        pod: pod && podLabels.of(pod.labels),
        node: ofNode && nodeLabels.of(ofNode),
        labels: own && labels.of(own),
        family: familyOf(endpoint.address),
      };
      const key = `${group.admitting.id} ${group.ports} ${pod?.namespace} ${group.namespace} ${group.pod} ${group.node} ${group.labels} ${group.family}`;
      const known = numbers.get(key);
      if (known !== undefined) return known;
      const number = this.#groups.push(group) - 1;
      numbers.set(key, number);
      if (pod !== undefined && group.pod !== undefined) {
        push(byNamespace, pod.namespace, number);
        push(byLabels, group.pod, number);
      }
      return number;
    });
    this.portLists = portLists.values;
    this.#byLabels = byLabels;
    this.#byNamespace = byNamespace;
    this.#pods = new LabelIndex(podLabels.values);
    this.#namespaces = new LabelIndex(namespaces.values);
    this.#nodes = new LabelIndex(nodeLabels.values);
    this.#labels = new LabelIndex(labels.values);
  }

  get size(): number {
    return this.#groups.length;
  }

  portList(group: number): number {
    return (this.#groups[group] as Group).ports;
  }

  admittedBy(term: PeerTerm, isLocal: boolean): Bits {
    switch (term.kind) {
      case "pods":
        return this.#podsOf(term);
      case "nodes": {
        const labels = this.#nodes.select(term.nodeSelector);
        return this.#groupsWhere(({ node }) => node !== undefined && hasBit(labels, node));
      }
      case "labels": {
        const labels = this.#labels.where(term.where);
        return this.#groupsWhere(({ labels: own }) => own !== undefined && hasBit(labels, own));
      }
      case "block": {
        const block = this.#blockKeys.get(termKey(term)) as number;
        return this.#groupsWhere(({ admitting }) => hasBit(admitting.blocks, block));
      }
      case "family":
        return this.#groupsWhere(({ family }) => family === term.family);
      case "domain":
        return emptyBits(this.size);
      case "local":
        return isLocal ? fullBits(this.size) : emptyBits(this.size);
      case "all":
      case "any": {
        const isAll = term.kind === "all";
        const bits = isAll ? fullBits(this.size) : emptyBits(this.size);
        for (const each of term.of)
          (isAll ? andInto : orInto)(bits, this.admittedBy(each, isLocal));
        return bits;
      }
      case "not": {
        const bits = fullBits(this.size);
        andNotInto(bits, this.admittedBy(term.of, isLocal));
        return bits;
      }
    }
  }

  #groupsWhere(isIn: (group: Group) => boolean): Bits {
    const bits = emptyBits(this.size);
    this.#groups.forEach((group, i) => {
      if (isIn(group)) setBit(bits, i);
    });
    return bits;
  }

  #podsOf({ namespace, namespaceSelector, podSelector }: PodTerm): Bits {
    const bits = emptyBits(this.size);
    const labels = this.#pods.select(podSelector);
    if (namespace !== undefined) {
      for (const group of this.#byNamespace.get(namespace) ?? []) {
        if (hasBit(labels, this.#groups[group]?.pod as number)) setBit(bits, group);
      }
      return bits;
    }
    const namespaces = this.#namespaces.select(namespaceSelector ?? {});
    forEachBit(labels, (set) => {
      for (const group of this.#byLabels.get(set) ?? []) {
        if (hasBit(namespaces, this.#groups[group]?.namespace as number)) setBit(bits, group);
      }
    });
    return bits;
  }
}

interface Group {
  readonly admitting: AdmittingBlocks;
  readonly ports: number;
  /** Numbers of label sets; absent for what is no pod, or no node. */
  readonly namespace: number | undefined;
  readonly pod: number | undefined;
  readonly node: number | undefined;
  /** Those that the CNI gives it. */
  readonly labels: number | undefined;
  readonly family: IpFamily;
}

/** Blocks that admit an address; equal sets have equal numbers. */
interface AdmittingBlocks {
  readonly id: number;
  readonly blocks: Bits;
}

class AddressRanges {
  readonly #settings: PolicySettings;
  readonly #indexes: Readonly<Record<IpFamily, BlockIndex>>;
  readonly #sets = new Map<string, AdmittingBlocks>();
  readonly #none: AdmittingBlocks;

  constructor(blocks: readonly BlockTerm[], settings: PolicySettings) {
    this.#settings = settings;
    this.#indexes = { 4: new BlockIndex(blocks, 4), 6: new BlockIndex(blocks, 6) };
    this.#none = this.#number(emptyBits(blocks.length));
  }

  admitting({ address, pod }: PolicyEndpoint): AdmittingBlocks {
    if (pod !== undefined && !this.#settings.blocksMatchPods) return this.#none;
    return this.#number(this.#indexes[familyOf(address)].admitting(address));
  }

  #number(blocks: Bits): AdmittingBlocks {
    const key = blocks.join();
    let found = this.#sets.get(key);
    if (found === undefined) {
      found = { id: this.#sets.size, blocks };
      this.#sets.set(key, found);
    }
    return found;
  }
}

/** Gives equal values one number. */
class Numbering<T> {
  readonly values: T[] = [];
  readonly #numbers = new Map<string, number>();

  of(key: string, value: T): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.values.push(value) - 1;
      this.#numbers.set(key, number);
    }
    return number;
  }
}

/** Numbers sets of labels by the keys that matter. */
class LabelSets {
  readonly #keys: readonly string[] | undefined;
  readonly #numbering = new Numbering<Labels>();
  /** Most endpoints share the object with others. */
  readonly #seen = new WeakMap<Labels, number>();

  /** @param keys that some selector looks at; all where absent */
  constructor(keys?: readonly string[]) {
    this.#keys = keys;
  }

  get values(): readonly Labels[] {
    return this.#numbering.values;
  }

  of(labels: Labels): number {
    let number = this.#seen.get(labels);
    if (number === undefined) {
      const keys = this.#keys ?? Object.keys(labels).sort();
      const kept = keys
        .filter((key) => Object.hasOwn(labels, key))
        .map((key) => [key, labels[key]]);
      number = this.#numbering.of(JSON.stringify(kept), Object.fromEntries(kept) as Labels);
      this.#seen.set(labels, number);
    }
    return number;
  }
}

function podSelectors(terms: readonly SimpleTerm[]): readonly LabelSelector[] {
  return terms.flatMap((term) => (term.kind === "pods" ? [term.podSelector] : []));
}

function nodeSelectors(terms: readonly SimpleTerm[]): readonly LabelSelector[] {
  return terms.flatMap((term) => (term.kind === "nodes" ? [term.nodeSelector] : []));
}

function usedKeys(selectors: readonly LabelSelector[]): readonly string[] {
  return [...new Set(selectors.flatMap((each) => requirements(each).map(({ key }) => key)))].sort();
}

function expressionKeys(terms: readonly SimpleTerm[]): readonly string[] {
  const keysOf = (term: SimpleTerm) => (term.kind === "labels" ? labelKeys(term.where) : []);
  return [...new Set(terms.flatMap(keysOf))].sort();
}

function push<K>(lists: Map<K, number[]>, key: K, value: number): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
