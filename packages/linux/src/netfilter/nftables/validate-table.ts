import type { FibExpression } from "./expression.ts";
import { kernelRefusal, type Location } from "./nftables-error.ts";
import type { NatKind, Statement } from "./statement.ts";
import { fibExpressionsOf, referencesOf } from "./statement-parts.ts";
import type { BaseChain, NftChain, NftRule, Table } from "./table.ts";

/** Chains that may wait for the end of another one (NFT_JUMP_STACK_SIZE). */
const JUMP_STACK_SIZE = 16;

/** Where a rule can lead, by the numbers of the table. */
interface Exits {
  /** Chains, of which a rule itself knows. */
  readonly chains: readonly number[];
  /** Maps whose elements lead to chains. */
  readonly maps: readonly number[];
  readonly nat: readonly NatKind[];
  /** Hooks outside which a statement of it cannot stand. */
  readonly hooks: readonly (readonly string[])[];
}

/** Rules do not change, nor do the numbers that they know chains by. */
const exits: WeakMap<NftRule, Exits> = new WeakMap();

function exitsOf(rule: NftRule, table: Table): Exits {
  let known = exits.get(rule);
  if (known === undefined) {
    known = findExits(rule, table);
    exits.set(rule, known);
  }
  return known;
}

function findExits({ statements }: NftRule, table: Table): Exits {
  const chains: number[] = [];
  const maps: number[] = [];
  const nat: NatKind[] = [];
  const hooks: (readonly string[])[] = [];
  for (const statement of statements) {
    hooks.push(...hooksOf(statement));
    if (statement.kind === "nat") nat.push(statement.nat);
    if (statement.kind === "verdict" && statement.verdict.chain !== undefined) {
      chains.push(table.chains.number(statement.verdict.chain));
    }
    if (statement.kind !== "vmap") continue;
    for (const { set } of referencesOf(statement)) {
      if (set === undefined) continue;
      if (!set.options.anonymous) maps.push(table.sets.number(set.name));
      else for (const { target } of set.elements.all()) if (target >= 0) chains.push(target);
    }
  }
  return { chains, maps, nat, hooks };
}

/** Whether something leads to a chain. */
export function isJumpTarget(table: Table, chain: string): boolean {
  const number = table.chains.number(chain);
  for (const set of table.sets.values()) {
    if (set.elements.all().some(({ target }) => target === number)) return true;
  }
  for (const { rules } of table.chains.values()) {
    if (rules.some((rule) => exitsOf(rule, table).chains.includes(number))) return true;
  }
  return false;
}

/**
 * What base chains lead to must suit them, and must not be nested too deep (`nft_table_validate`).
 * @param bound the commands that made rules of base chains, by the rules' statements; what another rule
 * leads to is told of at `location`
 */
export function validateTable(
  table: Table,
  location: Location,
  bound: ReadonlyMap<readonly Statement[], Location>,
): void {
  for (const chain of table.chains.values()) {
    if (chain.base === undefined) continue;
    new Validation(table, chain.base, location, bound).visit(chain, 0);
  }
}

class Validation {
  readonly #table: Table;
  readonly #base: BaseChain;
  readonly #location: Location;
  readonly #bound: ReadonlyMap<readonly Statement[], Location>;
  readonly #isOfIp: boolean;
  /** How deep chains and maps have been met, by number: only a deeper place can be worse. */
  readonly #chains: number[] = [];
  readonly #maps: number[] = [];

  constructor(
    table: Table,
    base: BaseChain,
    location: Location,
    bound: ReadonlyMap<readonly Statement[], Location>,
  ) {
    this.#table = table;
    this.#base = base;
    this.#location = location;
    this.#bound = bound;
    this.#isOfIp = ["ip", "ip6", "inet"].includes(table.family);
  }

  visit(chain: NftChain, depth: number): void {
    if (depth >= JUMP_STACK_SIZE) throw kernelRefusal(this.#location, "EMLINK");
    for (const rule of chain.rules) {
      const { chains, maps, nat, hooks } = exitsOf(rule, this.#table);
      const fits =
        nat.every((kind) => allowsNat(this.#base, kind)) &&
        (!this.#isOfIp || hooks.every((known) => known.includes(this.#base.hook)));
      if (!fits) {
        const command = depth === 0 ? this.#bound.get(rule.statements) : undefined;
        throw kernelRefusal(command ?? this.#location, "EOPNOTSUPP");
      }
      for (const number of chains) this.#follow(number, depth + 1);
      for (const number of maps) this.#followMap(number, depth + 1);
    }
  }

  #follow(number: number, depth: number): void {
    if ((this.#chains[number] ?? 0) >= depth) return;
    this.#chains[number] = depth;
    const chain = this.#table.chains.at(number);
    if (chain !== undefined) this.visit(chain, depth);
  }

  #followMap(number: number, depth: number): void {
    if ((this.#maps[number] ?? 0) >= depth) return;
    this.#maps[number] = depth;
    const elements = this.#table.sets.at(number)?.elements;
    elements?.forEach(({ target }) => {
      if (target >= 0) this.#follow(target, depth);
    });
  }
}

const BEFORE_SOCKETS = ["prerouting", "input", "forward"];
const BEFORE_POSTROUTING = [...BEFORE_SOCKETS, "output"];
const BEHIND_ROUTING = ["output", "postrouting", "forward"];

/** Where what a statement does can be done (`nft_reject_validate`, `nft_meta_set_validate`, `nft_fib_validate`). */
function hooksOf(statement: Statement): (readonly string[])[] {
  if (statement.kind === "reject") return [BEFORE_POSTROUTING];
  const hooks = fibExpressionsOf(statement).flatMap(hooksOfFib);
  const { target } = statement as { readonly target?: { readonly key?: string } };
  if (statement.kind === "mangle" && target?.key === "pkttype") hooks.push(["prerouting"]);
  return hooks;
}

/** Whether the kernel asks where a rule with it stands (an expression's `validate`). */
export function isBoundToHooks(statement: Statement): boolean {
  return statement.kind === "nat" || hooksOf(statement).length > 0;
}

/** Kernels like 6.1 let a question for the way out stand behind the routing decision only with `iif`. */
function hooksOfFib({ result, flags }: FibExpression): (readonly string[])[] {
  if (result !== "type" || flags.includes("iif")) return [BEFORE_SOCKETS];
  return flags.includes("oif") ? [BEHIND_ROUTING] : [];
}

/** Hooks at which a kind of NAT may stand (`nft_chain_validate_hooks`). */
function allowsNat({ type, hook }: BaseChain, nat: NatKind): boolean {
  if (type !== "nat") return false;
  switch (nat) {
    case "snat":
      return hook === "postrouting" || hook === "input";
    case "masquerade":
      return hook === "postrouting";
    default:
      return hook === "prerouting" || hook === "output";
  }
}
