import type { Origin } from "@cnilab/core";
import { flowHash } from "../../ip/flow-hash.ts";
import type { Skb } from "../../skb.ts";
import type { FilterStep } from "../../trace.ts";
import type { FilterRule } from "../filter-rule.ts";
import {
  type HookFunction,
  type HookState,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_OUT,
  type NfVerdict,
} from "../hooks.ts";
import { routeMeHarder } from "../route-me-harder.ts";
import { type ChainPlan, compileChain } from "./chain-plan.ts";
import { formatStatement } from "./format.ts";
import type { BaseChain, NftChain, NftRule, Table } from "./table.ts";
import {
  ACCEPT,
  beginWalk,
  DROP,
  DROPPED,
  endWalk,
  GO_ON,
  GOTO,
  JUMP,
  NEXT_RULE,
  type Outcome,
  RETURN,
  type Walk,
} from "./walk.ts";

/** Chains that may wait for the end of another one (NFT_JUMP_STACK_SIZE). */
const JUMP_STACK_SIZE = 16;

/** The policy of a base chain, as a rule that packets meet last. */
class Policy implements FilterRule {
  readonly location: string;
  readonly text: string;
  readonly origin: Origin | undefined = undefined;

  constructor(table: Table, chain: string, policy: string) {
    this.location = `${table.title} ${chain}`;
    this.text = `policy ${policy}`;
  }
}

/** A base chain at its hook (net/netfilter/nf_tables_core.c nft_do_chain). */
export class BaseChainHook implements HookFunction {
  readonly name: string;
  readonly priority: number;
  readonly #table: Table;
  readonly #chain: string;
  readonly #number: number;
  readonly #reroutes: boolean;

  constructor(table: Table, chain: NftChain) {
    const base = chain.base as BaseChain;
    this.name = `nft ${table.title} ${chain.name}`;
    this.priority = base.priority;
    this.#table = table;
    this.#chain = chain.name;
    this.#number = table.chains.number(chain.name);
    this.#reroutes = base.type === "route";
  }

  run(skb: Skb, state: HookState): NfVerdict {
    if (!this.#reroutes || state.hook !== NF_INET_LOCAL_OUT) return this.#run(skb, state);
    const { src, dst, tos, ttl, version } = skb.ip;
    const { mark } = skb;
    const verdict = this.#run(skb, state);
    const { ip } = skb;
    // net/netfilter/nft_chain_route.c: for IPv6 the hop limit counts as well
    const same =
      skb.mark === mark &&
      ip.src === src &&
      ip.dst === dst &&
      ip.tos === tos &&
      (version === 4 || ip.ttl === ttl);
    if (verdict === NF_ACCEPT && !same && routeMeHarder(skb, state.netns) !== undefined) {
      const { network } = state.netns;
      network.drop(skb, state.netns, "IP_OUTNOROUTES", skb.dev, "no route after nftables");
      return NF_DROP;
    }
    return verdict;
  }

  #run(skb: Skb, state: HookState): NfVerdict {
    if (state.netns.kernel.nftTracing) flowHash(skb);
    const walk = beginWalk(skb, state, this.#table);
    try {
      return new ChainRun(walk, this.#number, this.#chain).run();
    } finally {
      endWalk();
    }
  }
}

/** Where a chain goes on when the one that it jumped to ends. */
interface Frame {
  readonly chain: NftChain;
  readonly next: number;
}

/** One packet's way through a base chain and those that it jumps to. */
class ChainRun {
  readonly #walk: Walk;
  readonly #base: number;
  readonly #name: string;
  #chain: NftChain;
  #plan: ChainPlan;
  #next = 0;
  /** Made when a chain is first jumped to. */
  #stack: Frame[] | undefined = undefined;
  #evaluated = 0;

  constructor(walk: Walk, base: number, name: string) {
    this.#walk = walk;
    this.#base = base;
    this.#name = name;
    this.#chain = walk.table.chains.at(base) as NftChain;
    this.#plan = planOf(this.#chain, walk.table);
  }

  run(): NfVerdict {
    const { overlooks } = this.#walk.netns.network;
    for (;;) {
      const plan = this.#plan[this.#next];
      if (plan === undefined) {
        const frame = this.#stack?.pop();
        if (frame === undefined) return this.#policy();
        this.#enter(frame.chain, frame.next);
        continue;
      }
      this.#next++;
      this.#evaluated++;
      if (overlooks?.(plan.rule) === true) continue;
      let outcome: Outcome = GO_ON;
      for (const operation of plan.operations) {
        outcome = operation.run(this.#walk);
        if (outcome !== GO_ON) break;
      }
      if (outcome === NEXT_RULE) continue;
      if (this.#walk.skb.trace !== undefined) this.#trace(plan.rule, outcome);
      switch (outcome) {
        case GO_ON:
          continue;
        case ACCEPT:
          return this.#end(NF_ACCEPT);
        case DROP:
          return this.#drop(plan.rule);
        case DROPPED:
          return this.#end(NF_DROP);
        case RETURN:
          this.#next = this.#plan.length;
          continue;
        case JUMP:
          this.#push();
          this.#follow();
          continue;
        case GOTO:
          this.#follow();
          continue;
      }
    }
  }

  #push(): void {
    this.#stack ??= [];
    if (this.#stack.length >= JUMP_STACK_SIZE) throw new RangeError("more than 16 nested jumps");
    this.#stack.push({ chain: this.#chain, next: this.#next });
  }

  #follow(): void {
    const { table, target } = this.#walk;
    const chain = table.chains.at(target);
    if (chain !== undefined) this.#enter(chain, 0);
  }

  #enter(chain: NftChain, next: number): void {
    this.#chain = chain;
    this.#plan = planOf(chain, this.#walk.table);
    this.#next = next;
  }

  /** The end of the base chain, also from a chain that was gone to. */
  #policy(): NfVerdict {
    const { table } = this.#walk;
    const policy = table.chains.at(this.#base)?.base?.policy ?? "accept";
    if (policy === "accept") return this.#end(NF_ACCEPT);
    const rule = new Policy(table, this.#name, policy);
    if (this.#walk.skb.trace !== undefined) this.#pushStep(rule, policy);
    return this.#drop(rule);
  }

  #drop(rule: FilterRule): NfVerdict {
    const { skb, netns } = this.#walk;
    const verdict = this.#end(NF_DROP);
    netns.network.drop(skb, netns, "NETFILTER_DROP", skb.dev, "", rule);
    return verdict;
  }

  #end(verdict: NfVerdict): NfVerdict {
    const { skb, state, table } = this.#walk;
    skb.trace?.steps.push({
      kind: "hook",
      netns: state.netns,
      packet: skb.number,
      family: state.family,
      hook: state.hook,
      table: `${table.title} ${this.#name}`,
      verdict,
      evaluated: this.#evaluated,
    });
    return verdict;
  }

  #trace(rule: NftRule, outcome: Outcome): void {
    const { table, target } = this.#walk;
    const chain = outcome === JUMP || outcome === GOTO ? table.chains.at(target)?.name : undefined;
    this.#pushStep(rule, effectOf(rule, outcome, chain));
  }

  #pushStep(rule: FilterRule, effect: string): void {
    const { skb, netns } = this.#walk;
    const step: FilterStep = {
      kind: "rule",
      netns,
      packet: skb.number,
      rule,
      evaluated: this.#next,
      effect,
    };
    skb.trace?.steps.push(step);
  }
}

function planOf(chain: NftChain, table: Table): ChainPlan {
  chain.plan ??= compileChain(chain, table);
  return chain.plan;
}

/** What came of a rule: `jump services`, `accept`, `dnat to 10.0.0.1:80`, `meta mark set 0x00004000`. */
function effectOf(rule: NftRule, outcome: Outcome, chain: string | undefined): string {
  if (chain !== undefined) return `${outcome === JUMP ? "jump" : "goto"} ${chain}`;
  if (outcome === RETURN) return "return";
  const acting = rule.statements.filter((s) => s.kind !== "match" && s.kind !== "counter");
  const last = acting.at(-1);
  if (last === undefined) return "continue";
  if (last.kind === "vmap") return outcome === ACCEPT ? "accept" : "drop";
  return formatStatement(last, rule.devices);
}
