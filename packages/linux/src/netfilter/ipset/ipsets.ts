import type { NetNamespace } from "../../net-namespace.ts";
import { BitmapSet } from "./bitmap-set.ts";
import {
  type CommandLine,
  checkComment,
  OptionWords,
  parseCommandLine,
  unknownArgument,
} from "./command-line.ts";
import { formatCreateOptions, MAX_TIMEOUT, parseCreateOptions } from "./create-options.ts";
import {
  checkSetName,
  type FieldValue,
  parseElement,
  parseNumber,
  spellElement,
} from "./element-syntax.ts";
import { HashSet } from "./hash-set.ts";
import type { ElementOptions, Ipset, IpsetOptions } from "./ipset.ts";
import { IpsetError, kernelRefusal, syntaxError } from "./ipset-error.ts";
import { ListSet } from "./list-set.ts";
import { type SetType, setTypeByName } from "./set-type.ts";

/** A rule's hold on a set: by name when the rule is made, by place from then on. */
export class IpsetReference {
  /** The set; another one after a swap. */
  set: Ipset;

  constructor(set: Ipset) {
    this.set = set;
  }
}

/**
 * The sets of one network namespace, as ipset 7.17 programs them. Rules ask a set so:
 *
 *     const hold = netns.ipsets.reference("NAME"); // when the rule is made; release(hold) when it goes
 *     hold.set.matchesPacket(skb, state, ["src", "dst"]); // for each packet
 *
 * Elements of hashes are listed in the order of their values; the kernel's order depends on a random
 * seed. Not modelled: the types that only add a MAC or a mark, skbinfo, hash tables that grow (`hashsize`
 * stays as it was made), and the exact size in memory.
 */
export class Ipsets {
  readonly #netns: NetNamespace;
  readonly #sets: Map<string, Ipset> = new Map();
  readonly #references: Set<IpsetReference> = new Set();

  constructor(netns: NetNamespace) {
    this.#netns = netns;
  }

  /** All sets in the order of their making, lists last, as they are saved. */
  get all(): readonly Ipset[] {
    const all = [...this.#sets.values()];
    const isList = (set: Ipset) => set.type.method === "list";
    return [...all.filter((set) => !isList(set)), ...all.filter(isList)];
  }

  find(name: string): Ipset | undefined {
    return this.#sets.get(name);
  }

  /** For a rule that asks a set, which cannot be destroyed or renamed meanwhile. @throws IpsetError */
  reference(name: string): IpsetReference {
    const set = this.#existing(name);
    set.references++;
    const reference = new IpsetReference(set);
    this.#references.add(reference);
    return reference;
  }

  /** The rule is gone. */
  release(reference: IpsetReference): void {
    if (this.#references.delete(reference)) reference.set.references--;
  }

  /**
   * `ipset restore`. Lines before one that is refused stay done.
   * @throws IpsetError with the line
   */
  restore(text: string, options: { readonly exist?: boolean } = {}): void {
    text.split("\n").forEach((line, i) => {
      const trimmed = line.trim();
      if (trimmed === "" || trimmed.startsWith("#") || trimmed === "COMMIT") return;
      const parsed = parseCommandLine(trimmed);
      try {
        this.#run({ ...parsed, exist: parsed.exist || options.exist === true });
      } catch (error) {
        if (!(error instanceof IpsetError) || error.message.includes("Try `ipset help'"))
          throw error;
        throw new IpsetError(error.message, error.fromKernel, i + 1);
      }
    });
  }

  /** `ipset LINE`. @returns what it prints. @throws IpsetError */
  run(line: string): string {
    return this.#run(parseCommandLine(line));
  }

  /** `ipset test`. @throws IpsetError */
  test(name: string, element: string): boolean {
    return this.#test({ ...parseCommandLine("list"), words: [name, element] });
  }

  /** `ipset save [NAME]`. @throws IpsetError */
  save(name?: string): string {
    this.#netns.network.settleFlows();
    const sets = name === undefined ? this.all : [this.#existing(name)];
    return sets.map(saveSet).join("");
  }

  /** `ipset list [NAME]`. The size in memory is an estimate. @throws IpsetError */
  list(name?: string, terse = false): string {
    this.#netns.network.settleFlows();
    const sets = name === undefined ? this.all : [this.#existing(name)];
    return sets.map((set) => listSet(set, terse)).join("\n");
  }

  #run(line: CommandLine): string {
    const [first, second] = line.words;
    this.#netns.network.settleFlows();
    switch (line.command) {
      case "create":
        this.#create(line);
        return "";
      case "add":
      case "del": {
        const set = this.#existing(first as string);
        const { values, options } = this.#element(set, line);
        if (line.command === "add") set.add(values, options);
        else set.delete(values, options);
        return "";
      }
      case "test":
        return this.#describeTest(line);
      case "flush":
        for (const set of first === undefined ? this.all : [this.#existing(first)]) set.flush();
        return "";
      case "destroy":
        this.#destroy(first);
        return "";
      case "rename":
        this.#rename(first as string, second as string);
        return "";
      case "swap":
        this.#swap(first as string, second as string);
        return "";
      case "save":
        return this.save(first);
      case "list":
        if (!line.namesOnly) return this.list(first, line.terse);
        return (first === undefined ? this.all : [this.#existing(first)])
          .map(({ name }) => `${name}\n`)
          .join("");
    }
  }

  #existing(name: string): Ipset {
    const set = this.#sets.get(name);
    if (set === undefined) throw kernelRefusal("The set with the given name does not exist");
    return set;
  }

  #create({ words, exist }: CommandLine): void {
    const [name, typeName, ...rest] = words as [string, string, ...string[]];
    checkSetName(name);
    const type = setTypeByName(typeName);
    if (type === undefined) throw syntaxError(`typename '${typeName}' is unknown`);
    const seed = this.#netns.kernel.random.fork(`ipset ${name}`).uint32();
    const options = parseCreateOptions(rest, type, seed);
    const there = this.#sets.get(name);
    if (there !== undefined) {
      if (exist && isSame(there, type, options)) return;
      throw kernelRefusal("Set cannot be created: set with the same name already exists");
    }
    this.#sets.set(name, this.#make(name, type, options));
    this.#netns.network.touch();
  }

  #make(name: string, type: SetType, options: IpsetOptions): Ipset {
    switch (type.method) {
      case "hash":
        return new HashSet(this.#netns, name, type, options);
      case "bitmap":
        return new BitmapSet(this.#netns, name, type, options);
      case "list":
        return new ListSet(this.#netns, name, type, options, (member) => this.find(member));
    }
  }

  #test(line: CommandLine): boolean {
    const set = this.#existing(line.words[0] as string);
    const { values, options } = this.#element(set, line);
    return set.test(values, options);
  }

  #describeTest(line: CommandLine): string {
    const [name, element] = line.words as [string, string];
    const set = this.#existing(name);
    const { values, options } = this.#element(set, line);
    const spelled = spellElement(element, values, set.type, set.options.family);
    // The tool says `after` for both.
    const beside = options.before ?? options.after;
    const what = beside === undefined ? spelled : `${spelled} after ${beside}`;
    return `${what} is ${set.test(values, options) ? "in" : "NOT in"} set ${name}.\n`;
  }

  #element(set: Ipset, line: CommandLine): { values: FieldValue[]; options: ElementOptions } {
    const [, element, ...rest] = line.words as [string, string, ...string[]];
    const values = parseElement(element, set.type, set.options.family);
    return { values, options: parseElementOptions(rest, set.type, line) };
  }

  #destroy(name: string | undefined): void {
    const sets = name === undefined ? this.all : [this.#existing(name)];
    if (sets.some(({ references }) => references > 0)) {
      throw kernelRefusal("Set cannot be destroyed: it is in use by a kernel component");
    }
    for (const set of sets) {
      set.flush();
      this.#sets.delete(set.name);
    }
    this.#netns.network.touch();
  }

  #rename(from: string, to: string): void {
    const set = this.#existing(from);
    checkSetName(to);
    if (set.references > 0) {
      throw kernelRefusal("Set cannot be renamed: it is in use by another system");
    }
    if (this.#sets.has(to)) {
      throw kernelRefusal("Set cannot be renamed: a set with the new name already exists");
    }
    const all = [...this.#sets.values()];
    set.name = to;
    this.#sets.clear();
    for (const each of all) this.#sets.set(each.name, each);
  }

  /** Contents change places; names, members of lists and rules stay where they are. */
  #swap(from: string, to: string): void {
    const first = this.#existing(from);
    const second = this.#sets.get(to);
    if (second === undefined) {
      throw kernelRefusal("Sets cannot be swapped: the second set does not exist");
    }
    const alike = first.type === second.type && first.options.family === second.options.family;
    if (!alike) throw kernelRefusal("The sets cannot be swapped: their type does not match");
    [first.name, second.name] = [second.name, first.name];
    [first.references, second.references] = [second.references, first.references];
    const order = [...this.#sets.keys()];
    const swapped = new Map([...this.#sets].map(([name, set]) => [name, set]));
    swapped.set(from, second);
    swapped.set(to, first);
    this.#sets.clear();
    for (const name of order) this.#sets.set(name, swapped.get(name) as Ipset);
    for (const set of this.#sets.values()) {
      if (set instanceof ListSet) set.replace(first, second);
    }
    for (const reference of this.#references) {
      if (reference.set === first) reference.set = second;
      else if (reference.set === second) reference.set = first;
    }
    this.#netns.network.touch();
  }
}

/** Sets of the same kind with the same options are the same to `create -exist`. */
function isSame(set: Ipset, type: SetType, options: IpsetOptions): boolean {
  const { initval, hashsize, ...wanted } = options;
  const { initval: _initval, hashsize: _hashsize, ...has } = set.options;
  return set.type === type && JSON.stringify(has) === JSON.stringify(wanted);
}

function parseElementOptions(
  words: readonly string[],
  type: SetType,
  { command, exist }: CommandLine,
): ElementOptions {
  let timeout: number | undefined;
  let packets: number | undefined;
  let bytes: number | undefined;
  let comment: string | undefined;
  let before: string | undefined;
  let after: string | undefined;
  let nomatch = false;
  let wildcard = false;
  const options = new OptionWords(words);
  for (let word = options.next(); word !== undefined; word = options.next()) {
    const isList = type.method === "list";
    if (isList && word === "before") before = options.value(word);
    else if (isList && word === "after") after = options.value(word);
    else if (word === "nomatch" && command !== "del" && type.fields.includes("net")) nomatch = true;
    else if (command !== "add") throw unknownArgument(word);
    else if (word === "timeout") timeout = parseNumber(options.value(word), 0, MAX_TIMEOUT);
    else if (word === "packets") packets = parseCount(options.value(word));
    else if (word === "bytes") bytes = parseCount(options.value(word));
    else if (word === "comment") comment = checkComment(options.value(word));
    else if (word === "wildcard" && type.fields.includes("iface")) wildcard = true;
    else throw unknownArgument(word);
  }
  return { exist, timeout, packets, bytes, comment, nomatch, wildcard, before, after };
}

/** Counters have 64 bits; of what is more than 2^53 the last digits are lost here. */
function parseCount(text: string): number {
  if (!/^[0-9]+$/.test(text)) throw syntaxError(`'${text}' is invalid as number`);
  if (BigInt(text) > 18446744073709551614n) {
    throw syntaxError(`'${text}' is out of range 0-18446744073709551614`);
  }
  return Number(text);
}

function saveSet(set: Ipset): string {
  const { name, type, options } = set;
  const lines = [`create ${name} ${type.name} ${formatCreateOptions(type, options)}`];
  for (const element of set.elements()) lines.push(`add ${name} ${element}`);
  return `${lines.join("\n")}\n`;
}

function listSet(set: Ipset, terse: boolean): string {
  const elements = set.elements();
  const lines = [
    `Name: ${set.name}`,
    `Type: ${set.type.name}`,
    `Revision: ${set.type.revision}`,
    `Header: ${formatCreateOptions(set.type, set.options)}`,
    `Size in memory: ${EMPTY_BYTES + ELEMENT_BYTES * elements.length}`,
    `References: ${set.references}`,
    `Number of entries: ${elements.length}`,
  ];
  if (!terse) lines.push("Members:", ...elements);
  return `${lines.join("\n")}\n`;
}

/** What a hash:ip takes on the kernel that was measured (6.18). */
const EMPTY_BYTES = 216;
const ELEMENT_BYTES = 40;
