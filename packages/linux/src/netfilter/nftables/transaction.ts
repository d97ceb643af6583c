import type { Origin } from "@cnilab/core";
import { baseChain } from "./base-chain.ts";
import type { Command, SetSpec, TableFamily, TypeSpec } from "./command.ts";
import type { DeviceNames } from "./data-type.ts";
import { type EvaluationScope, keyPartsOf } from "./evaluate-expression.ts";
import { evaluateRule } from "./evaluate-rule.ts";
import { addElements, evaluateElement, evaluateKey } from "./evaluate-set.ts";
import type { SetElement, VerdictExpression } from "./expression.ts";
import type { KeyPart } from "./key-words.ts";
import { NftSet } from "./nft-set.ts";
import { kernelRefusal, type Location, NftablesError } from "./nftables-error.ts";
import type { SetElements } from "./set-elements.ts";
import type { Statement } from "./statement.ts";
import { conntrackFamilies, referencesOf } from "./statement-parts.ts";
import { type BaseChain, NftChain, NftRule, Table } from "./table.ts";
import { isBoundToHooks, isJumpTarget, validateTable } from "./validate-table.ts";

/** Says which object a rule is there for: always the same, or by the rule's text and chain. */
export type RuleOrigin = Origin | ((rule: string, chain: string) => Origin | undefined);

/** The tables that commands work on. */
export interface Ruleset {
  readonly tables: Map<string, Table>;
  /** Handle of the table made last. */
  lastTable: number;
}

export function tableKey(family: TableFamily, name: string): string {
  return `${family} ${name}`;
}

const NOT_FOUND = "No such file or directory";

/** Whether nft has to look up what the command is about before it can send it. */
function isEvaluated({ kind }: Command): boolean {
  return kind === "addRule" || kind === "addElements" || kind === "deleteElements";
}

type CommandOf<K extends Command["kind"]> = Extract<Command, { kind: K }>;

/** Commands that take effect together: if one is refused, all are taken back. */
export class Transaction {
  readonly #ruleset: Ruleset;
  readonly #devices: DeviceNames;
  readonly #now: number;
  readonly #origin: RuleOrigin | undefined;
  readonly #undo: (() => void)[] = [];
  /** Elements that note in {@link #undo} how to undo what happens to them. */
  readonly #journaled: Set<SetElements> = new Set();
  /** Tables that were changed, made or deleted. */
  readonly touched: Set<Table> = new Set();

  constructor(ruleset: Ruleset, devices: DeviceNames, now: number, origin: RuleOrigin | undefined) {
    this.#ruleset = ruleset;
    this.#devices = devices;
    this.#now = now;
    this.#origin = origin;
  }

  /** @throws NftablesError; nothing has changed then */
  run(commands: readonly Command[]): void {
    try {
      for (const command of commands) this.#run(command);
      this.#validate();
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo();
      throw error;
    } finally {
      for (const elements of this.#journaled) elements.journal = undefined;
    }
  }

  #run(command: Command): void {
    switch (command.kind) {
      case "addTable":
        this.#addTable(command);
        break;
      case "addChain":
        this.#addChain(command);
        break;
      case "addSet":
        this.#addSet(command);
        break;
      case "addElements":
        this.#addElements(command);
        break;
      case "addObject":
        this.#addObject(command);
        break;
      case "addRule":
        this.#addRule(command);
        break;
      case "deleteTable":
        this.#deleteTable(command);
        break;
      case "deleteChain":
        this.#deleteChain(command);
        break;
      case "deleteSet":
        this.#deleteSet(command);
        break;
      case "deleteElements":
        this.#deleteElements(command);
        break;
      case "deleteObject":
        this.#deleteObject(command);
        break;
      case "deleteRule":
        this.#deleteRule(command);
        break;
      case "flushTable":
        for (const chain of this.#table(command).listedChains()) this.#flushChain(command, chain);
        break;
      case "flushChain":
        this.#flushChain(command, this.#chain(command));
        break;
      case "flushSet":
        this.#flushSet(command);
        break;
      case "renameChain":
        this.#renameChain(command);
        break;
      case "flushRuleset":
        for (const table of [...this.#ruleset.tables.values()]) {
          if (command.onlyFamily === undefined || table.family === command.onlyFamily) {
            this.#removeTable(table);
          }
        }
        break;
      case "list":
        break;
    }
  }

  // Tables

  #table(command: Command): Table {
    const { family, table, tableLocation } = command;
    const found = this.#ruleset.tables.get(tableKey(family, table));
    if (found === undefined) {
      // Rules and elements cannot be read without the table, so the kernel is not even asked.
      throw isEvaluated(command)
        ? new NftablesError(tableLocation, NOT_FOUND)
        : kernelRefusal(tableLocation, "ENOENT");
    }
    this.touched.add(found);
    return found;
  }

  #addTable(command: CommandOf<"addTable">): void {
    const { family, table: name, verb, location } = command;
    const key = tableKey(family, name);
    const { tables } = this.#ruleset;
    const there = tables.get(key);
    if (there !== undefined) {
      if (verb === "create") throw kernelRefusal(location, "EEXIST");
      this.touched.add(there);
      // The comment of a table that is there stays as it is.
      if (command.dormant === true && !there.dormant) this.#setDormant(there, true);
      return;
    }
    const ruleset = this.#ruleset;
    const table = Table.empty(family, name, ++ruleset.lastTable);
    table.comment = command.comment;
    table.dormant = command.dormant ?? false;
    tables.set(key, table);
    this.touched.add(table);
    this.#undo.push(() => {
      tables.delete(key);
      ruleset.lastTable--;
    });
  }

  #setDormant(table: Table, dormant: boolean): void {
    const before = table.dormant;
    table.dormant = dormant;
    this.#undo.push(() => {
      table.dormant = before;
    });
  }

  #deleteTable(command: CommandOf<"deleteTable">): void {
    const { family, table: name, handle, verb, location } = command;
    const tables = [...this.#ruleset.tables.values()];
    const table =
      handle === undefined
        ? this.#ruleset.tables.get(tableKey(family, name))
        : tables.find((t) => t.family === family && t.handle === handle);
    if (table !== undefined) this.#removeTable(table);
    else if (verb === "delete") throw kernelRefusal(location, "ENOENT");
  }

  #removeTable(table: Table): void {
    const { tables } = this.#ruleset;
    const before = [...tables];
    tables.delete(tableKey(table.family, table.name));
    this.touched.add(table);
    this.#undo.push(() => {
      tables.clear();
      for (const [key, value] of before) tables.set(key, value);
    });
  }

  #newHandle(table: Table): number {
    const before = table.lastHandle;
    this.#undo.push(() => {
      table.lastHandle = before;
    });
    return ++table.lastHandle;
  }

  // Chains

  #chain(command: Command & { readonly chain: string }): NftChain {
    const chain = this.#table(command).chains.get(command.chain);
    if (chain === undefined) {
      const location = "chainLocation" in command ? command.chainLocation : command.location;
      throw kernelRefusal(location, "ENOENT");
    }
    return chain;
  }

  #addChain(command: CommandOf<"addChain">): void {
    const { chain: name, spec, location } = command;
    const table = this.#table(command);
    const there = table.chains.get(name);
    const base =
      spec.base &&
      baseChain(spec.base, table.family, spec.policy ?? there?.base?.policy ?? "accept");
    if (there !== undefined) {
      if (command.verb === "create") throw kernelRefusal(location, "EEXIST");
      this.#changeChain(table, there, base, spec.policy, location);
      return;
    }
    if (spec.policy !== undefined && base === undefined)
      throw kernelRefusal(location, "EOPNOTSUPP");
    const chain = new NftChain(table, name, this.#newHandle(table), base, spec.comment);
    this.#setChain(table, name, chain);
  }

  #setChain(table: Table, name: string, chain: NftChain | undefined): void {
    const before = table.chains.get(name);
    table.chains.set(name, chain);
    this.#undo.push(() => table.chains.set(name, before));
  }

  /** Only the policy of a chain that is there can change. */
  #changeChain(
    table: Table,
    chain: NftChain,
    base: BaseChain | undefined,
    policy: "accept" | "drop" | undefined,
    location: Location,
  ): void {
    const old = chain.base;
    if (base !== undefined) {
      const same =
        old !== undefined &&
        old.type === base.type &&
        old.hook === base.hook &&
        old.priority === base.priority;
      if (!same) throw kernelRefusal(location, "EEXIST");
    }
    if (policy === undefined) return;
    if (old === undefined) throw kernelRefusal(location, "EOPNOTSUPP");
    const own = this.#ownChain(table, chain);
    own.base = { ...old, policy };
    this.#undo.push(() => {
      own.base = old;
    });
  }

  /** The chain itself, or a copy in its place if it belongs to a layer. */
  #ownChain(table: Table, chain: NftChain): NftChain {
    if (chain.owner === table) return chain;
    const { name, handle, base, comment, rules } = chain;
    const own = new NftChain(table, name, handle, base, comment, [...rules]);
    this.#setChain(table, name, own);
    return own;
  }

  #deleteChain(command: CommandOf<"deleteChain">): void {
    const { handle, verb, location } = command;
    const table = this.#table(command);
    const chain =
      handle === undefined
        ? table.chains.get(command.chain)
        : table.listedChains().find((c) => c.handle === handle);
    if (chain === undefined) {
      if (verb === "destroy") return;
      throw kernelRefusal(location, "ENOENT");
    }
    this.#needsUseCheck.push({ table, name: chain.name, location });
    for (const rule of chain.rules) this.#forget(table, rule);
    this.#setChain(table, chain.name, undefined);
  }

  /** Chains that were deleted: nothing may lead to them when the transaction ends. */
  readonly #needsUseCheck: { table: Table; name: string; location: Location }[] = [];

  #renameChain(command: CommandOf<"renameChain">): void {
    const table = this.#table(command);
    const chain = this.#chain(command);
    if (table.chains.get(command.name) !== undefined)
      throw kernelRefusal(command.location, "EEXIST");
    const { handle, base, comment, rules } = chain;
    this.#setChain(table, chain.name, undefined);
    const renamed = new NftChain(table, command.name, handle, base, comment, [...rules]);
    this.#setChain(table, command.name, renamed);
    for (const each of table.listedChains()) this.#renameTargets(table, each, chain.name, renamed);
    for (const set of table.listedSets()) {
      if (!set.options.verdicts || !holdsChain(set.elements, chain.name)) continue;
      const elements = this.#ownElements(table, set);
      renameInElements(elements, chain.name, command.name, table);
    }
  }

  /** Rules name their chain, and those that they jump to. */
  #renameTargets(table: Table, chain: NftChain, from: string, to: NftChain): void {
    const jumps = (statement: Statement) => leadsTo(statement, from);
    if (chain !== to && !chain.rules.some((rule) => rule.statements.some(jumps))) return;
    const own = this.#ownChain(table, chain);
    const rules = own.rules.map((rule) => {
      const statements = rule.statements.map((s) => renameVerdict(s, from, to.name, table));
      const { handle, comment, origin } = rule;
      const location = `${table.title} ${own.name}`;
      return new NftRule(location, handle, statements, comment, origin, this.#devices);
    });
    this.#spliceRules(table, own, 0, own.rules.length, rules);
  }

  // Rules

  #addRule(command: CommandOf<"addRule">): void {
    const table = this.#table(command);
    const chain = this.#ownChain(table, this.#chain(command));
    const { rule: spec, location } = command;
    const position = rulePosition(command, chain);
    const statements = evaluateRule(spec, this.#scope(table), () => this.#newHandle(table));
    this.#checkStatements(statements, table, location);
    const rule = new NftRule(
      `${table.title} ${chain.name}`,
      // A rule that takes another one's place takes its handle, too.
      command.where === "replace" ? (command.handle as number) : this.#newHandle(table),
      statements,
      spec.comment,
      undefined,
      this.#devices,
    );
    const replaced = command.where === "replace" ? 1 : 0;
    this.#spliceRules(table, chain, position, replaced, [this.#withOrigin(rule, chain.name)]);
  }

  #withOrigin(rule: NftRule, chain: string): NftRule {
    const told = this.#origin;
    const origin = typeof told === "function" ? told(rule.text, chain) : told;
    if (origin === undefined) return rule;
    const { location, handle, statements, comment } = rule;
    return new NftRule(location, handle, statements, comment, origin, this.#devices);
  }

  #spliceRules(
    table: Table,
    chain: NftChain,
    at: number,
    count: number,
    rules: readonly NftRule[],
  ): void {
    const removed = chain.rules.splice(at, count, ...rules);
    chain.plan = undefined;
    for (const rule of removed) this.#forget(table, rule);
    this.#undo.push(() => {
      chain.rules.splice(at, rules.length, ...removed);
      chain.plan = undefined;
    });
  }

  /** Counters and limits of a rule that goes are gone, too. */
  #forget(table: Table, rule: NftRule): void {
    for (const statement of rule.statements) {
      const state = table.states.get(statement);
      if (state === undefined) continue;
      table.states.delete(statement);
      this.#undo.push(() => table.states.set(statement, state));
    }
  }

  #deleteRule(command: CommandOf<"deleteRule">): void {
    const table = this.#table(command);
    const chain = this.#chain(command);
    const at = chain.rules.findIndex((rule) => rule.handle === command.handle);
    if (at < 0) throw kernelRefusal(command.location, "ENOENT");
    this.#spliceRules(table, this.#ownChain(table, chain), at, 1, []);
  }

  #flushChain(command: Command, chain: NftChain): void {
    if (chain.rules.length === 0) return;
    const table = this.#table(command);
    const own = this.#ownChain(table, chain);
    this.#spliceRules(table, own, 0, own.rules.length, []);
  }

  #scope(table: Table): EvaluationScope {
    return {
      family: table.family,
      devices: this.#devices,
      set: (name) => table.sets.get(name),
      chainNumber: (name) => table.chains.number(name),
    };
  }

  /** What the kernel checks of each expression when a rule is made. */
  #checkStatements(statements: readonly Statement[], table: Table, location: Location): void {
    for (const statement of statements) {
      for (const family of conntrackFamilies(statement, table.family)) {
        table.conntrackFamilies.add(family);
      }
      if (statement.kind === "verdict") {
        this.#checkVerdict(statement.verdict, table, statement.verdict.location, location);
      }
      for (const reference of referencesOf(statement)) {
        if (reference.set?.options.anonymous !== true) continue;
        for (const { verdict } of reference.set.elements.all()) {
          if (verdict !== undefined) this.#checkVerdict(verdict, table, location, location);
        }
      }
      if (statement.kind === "object" && table.objects.get(statement.name) === undefined) {
        throw kernelRefusal(location, "ENOENT");
      }
      if (isBoundToHooks(statement)) {
        this.#toValidate.set(table, location);
        this.#bound.set(statements, location);
      }
      if (statement.kind === "setUpdate") this.#limitSize(table, statement.set.name);
    }
  }

  /** A set that packets fill has a size (net/netfilter/nft_dynset.c nft_dynset_init). */
  #limitSize(table: Table, name: string): void {
    const { options, owner, elements } = table.sets.get(name) as NftSet;
    if (options.size !== undefined) return;
    this.#setSet(table, name, new NftSet({ ...options, size: 0xffff }, owner, elements));
  }

  #checkVerdict(
    verdict: VerdictExpression,
    table: Table,
    location: Location,
    command: Location,
  ): void {
    if (verdict.chain === undefined) return;
    const target = table.chains.get(verdict.chain);
    if (target === undefined) throw kernelRefusal(location, "ENOENT");
    if (target.base !== undefined) throw kernelRefusal(location, "EOPNOTSUPP");
    this.#toValidate.set(table, command);
  }

  /** Tables whose chains lead to something new, and the command that made it so last. */
  readonly #toValidate: Map<Table, Location> = new Map();
  /** New rules' statements that do not work at every hook, and the command that made them. */
  readonly #bound: Map<readonly Statement[], Location> = new Map();

  // Sets

  #set(command: Command & { readonly set: string }): NftSet {
    const set = this.#table(command).sets.get(command.set);
    if (set === undefined) {
      throw isEvaluated(command)
        ? new NftablesError(command.location, NOT_FOUND)
        : kernelRefusal(command.location, "ENOENT");
    }
    return set;
  }

  #addSet(command: CommandOf<"addSet">): void {
    const { set: name, spec, location } = command;
    const table = this.#table(command);
    const key = this.#keyParts(spec.key, location, "set definition does not specify key");
    if (spec.isMap && spec.data === undefined && spec.objects === undefined) {
      throw new NftablesError(location, "map definition does not specify mapping data type");
    }
    const verdicts = isVerdict(spec.data);
    const data =
      spec.data === undefined || verdicts ? undefined : this.#keyParts(spec.data, location, "");
    const there = table.sets.get(name);
    if (there !== undefined) {
      if (command.verb === "create" || !sameSet(there, spec, key)) {
        throw kernelRefusal(location, "EEXIST");
      }
      this.#updateSet(table, there, spec);
      return;
    }
    const set = new NftSet(
      {
        name,
        handle: this.#newHandle(table),
        anonymous: false,
        key,
        keyTypeOf: spec.key !== undefined && "typeOf" in spec.key ? spec.key.typeOf : undefined,
        data,
        dataTypeOf: spec.data !== undefined && "typeOf" in spec.data ? spec.data.typeOf : undefined,
        verdicts,
        objects: spec.objects,
        isMap: spec.isMap,
        dataInterval: spec.dataInterval,
        constant: spec.flags.includes("constant"),
        dynamic: spec.flags.includes("dynamic"),
        interval: spec.flags.includes("interval"),
        timeout: spec.flags.includes("timeout") || spec.timeoutMs !== undefined,
        timeoutMs: spec.timeoutMs,
        gcIntervalMs: spec.gcIntervalMs,
        size: spec.size,
        policy: spec.policy,
        autoMerge: spec.autoMerge,
        stateful: spec.stateful,
        comment: spec.comment,
      },
      table,
    );
    this.#setSet(table, name, set);
  }

  /** Adding a set that is there changes how long elements stay (nf_tables_commit, NFT_MSG_NEWSET). */
  #updateSet(table: Table, { name, options, owner, elements }: NftSet, spec: SetSpec): void {
    const { timeoutMs, gcIntervalMs } = spec;
    if (options.timeoutMs === timeoutMs && options.gcIntervalMs === gcIntervalMs) return;
    const updated = new NftSet({ ...options, timeoutMs, gcIntervalMs }, owner, elements);
    this.#setSet(table, name, updated);
  }

  #keyParts(spec: TypeSpec | undefined, location: Location, missing: string): readonly KeyPart[] {
    if (spec === undefined) throw new NftablesError(location, missing);
    if ("typeOf" in spec) return keyPartsOf(spec.typeOf);
    return spec.types.map((type) => {
      if (type.bits === 0) {
        throw new NftablesError(
          location,
          'unqualified type integer specified in set definition. Try "typeof expression" instead of "type datatype".',
        );
      }
      return { type, bits: type.bits };
    });
  }

  #setSet(table: Table, name: string, set: NftSet | undefined): void {
    const before = table.sets.get(name);
    table.sets.set(name, set);
    this.#undo.push(() => table.sets.set(name, before));
  }

  /** The elements to change: of this table alone. */
  #ownElements(table: Table, set: NftSet): SetElements {
    const elements = this.#findElements(table, set);
    elements.journal = this.#undo;
    this.#journaled.add(elements);
    return elements;
  }

  #findElements(table: Table, set: NftSet): SetElements {
    if (set.volatile) return table.elementsOf(set, this.#now);
    if (set.owner === table) return set.elements;
    const own = set.cloneFor(table, this.#now);
    this.#setSet(table, set.name, own);
    return own.elements;
  }

  #addElements(command: CommandOf<"addElements">): void {
    const table = this.#table(command);
    const set = this.#set(command);
    const scope = this.#scope(table);
    const stored = command.elements.map((element) =>
      evaluateElement(element, set, scope, this.#now),
    );
    stored.forEach(({ verdict }, i) => {
      const { location } = command.elements[i] as SetElement;
      if (verdict !== undefined) this.#checkVerdict(verdict, table, location, command.location);
    });
    const elements = this.#ownElements(table, set);
    elements.collect(this.#now);
    const locations = command.elements.map(({ location }) => location);
    addElements(set, elements, stored, locations, command.verb === "create");
  }

  #deleteElements(command: CommandOf<"deleteElements">): void {
    const table = this.#table(command);
    const set = this.#set(command);
    const elements = this.#ownElements(table, set);
    for (const element of command.elements) {
      const key = element.key && evaluateKey(element.key, set.options.key, this.#scope(table));
      const gone = elements.delete(key);
      if (!gone && command.verb === "delete") throw kernelRefusal(element.location, "ENOENT");
    }
  }

  #flushSet(command: CommandOf<"flushSet">): void {
    const elements = this.#ownElements(this.#table(command), this.#set(command));
    elements.clear();
  }

  #deleteSet(command: CommandOf<"deleteSet">): void {
    const { handle, verb, location } = command;
    const table = this.#table(command);
    const set =
      handle === undefined
        ? table.sets.get(command.set)
        : table.listedSets().find((s) => s.options.handle === handle);
    if (set === undefined) {
      if (verb === "destroy") return;
      throw kernelRefusal(location, "ENOENT");
    }
    for (const chain of table.chains.values()) {
      const uses = (statement: Statement) =>
        referencesOf(statement).some(({ set: used }) => used?.name === set.name);
      if (chain.rules.some((rule) => rule.statements.some(uses))) {
        throw kernelRefusal(location, "EBUSY");
      }
    }
    this.#setSet(table, set.name, undefined);
    table.dropElements(set);
  }

  // Objects

  #addObject(command: CommandOf<"addObject">): void {
    const { name, object, comment, location } = command;
    const table = this.#table(command);
    const there = table.objects.get(name);
    if (there !== undefined) {
      if (command.verb === "create" || there.object.kind !== object.kind) {
        throw kernelRefusal(location, "EEXIST");
      }
      return;
    }
    table.objects.set(name, { name, handle: this.#newHandle(table), comment, object });
    this.#undo.push(() => table.objects.set(name, undefined));
  }

  #deleteObject(command: CommandOf<"deleteObject">): void {
    const { name, objectType, verb, location } = command;
    const table = this.#table(command);
    const there = table.objects.get(name);
    if (there === undefined || there.object.kind !== objectType) {
      if (verb === "destroy") return;
      throw kernelRefusal(location, "ENOENT");
    }
    for (const chain of table.chains.values()) {
      for (const { statements } of chain.rules) {
        if (statements.some((s) => s.kind === "object" && s.name === name)) {
          throw kernelRefusal(location, "EBUSY");
        }
      }
    }
    table.objects.set(name, undefined);
    this.#undo.push(() => table.objects.set(name, there));
  }

  // The whole

  /** What can only be known when all commands have run. */
  #validate(): void {
    for (const { table, name, location } of this.#needsUseCheck) {
      if (table.chains.get(name) === undefined && isJumpTarget(table, name)) {
        throw kernelRefusal(location, "EBUSY");
      }
    }
    for (const [table, location] of this.#toValidate) {
      validateTable(table, location, this.#bound);
    }
  }
}

function holdsChain(elements: SetElements, chain: string): boolean {
  return elements.all().some(({ verdict }) => verdict?.chain === chain);
}

function renameInElements(elements: SetElements, from: string, to: string, table: Table): void {
  for (const element of elements.all()) {
    const { verdict } = element;
    if (verdict?.chain !== from) continue;
    const renamed = { ...verdict, chain: to };
    elements.put({ ...element, verdict: renamed, data: renamed, target: table.chains.number(to) });
  }
}

/** Whether a statement itself leads to a chain; named maps are renamed by themselves. */
function leadsTo(statement: Statement, chain: string): boolean {
  if (statement.kind === "verdict") return statement.verdict.chain === chain;
  return referencesOf(statement).some(
    ({ set }) => set?.options.anonymous === true && holdsChain(set.elements, chain),
  );
}

function renameVerdict(statement: Statement, from: string, to: string, table: Table): Statement {
  if (statement.kind === "verdict") {
    if (statement.verdict.chain !== from) return statement;
    return { ...statement, verdict: { ...statement.verdict, chain: to } };
  }
  for (const { set } of referencesOf(statement)) {
    if (set?.options.anonymous === true) renameInElements(set.elements, from, to, table);
  }
  return statement;
}

function isVerdict(spec: TypeSpec | undefined): boolean {
  return spec !== undefined && "types" in spec && spec.types[0]?.name === "verdict";
}

function sameSet({ options }: NftSet, spec: SetSpec, key: readonly KeyPart[]): boolean {
  return (
    options.isMap === spec.isMap &&
    options.key.length === key.length &&
    options.key.every(({ type }, i) => type.name === key[i]?.type.name) &&
    options.interval === spec.flags.includes("interval") &&
    options.dynamic === spec.flags.includes("dynamic")
  );
}

/** Where a rule goes: behind or before the one with a handle or index, or at an end. */
function rulePosition(command: CommandOf<"addRule">, chain: NftChain): number {
  const { where, handle, index, placeLocation } = command;
  if (handle === undefined && index === undefined) {
    return where === "insert" ? 0 : chain.rules.length;
  }
  const at =
    handle === undefined ? (index as number) : chain.rules.findIndex((r) => r.handle === handle);
  if (at < 0 || at >= chain.rules.length) throw kernelRefusal(placeLocation, "ENOENT");
  return where === "append" ? at + 1 : at;
}
