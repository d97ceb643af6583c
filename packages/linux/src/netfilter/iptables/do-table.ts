import type { FilterStep } from "../../trace.ts";
import { NF_ACCEPT, NF_DROP, type NfVerdict } from "../hooks.ts";
import { type Chain, formatPolicy } from "./chain.ts";
import { type TargetVerdict, XT_CONTINUE, XT_RETURN } from "./extension.ts";
import type { RuleEntry } from "./rule.ts";
import type { Table } from "./table.ts";
import type { Walk } from "./walk.ts";

/** Takes a packet through a builtin chain and what it calls (`ipt_do_table`, `nft_do_chain`). */
export function doTable(table: Table, chain: Chain, walk: Walk): NfVerdict {
  const verdict = runChain(table, chain, walk);
  return verdict >= 0 ? (verdict as NfVerdict) : applyPolicy(table, chain, walk);
}

function applyPolicy(table: Table, chain: Chain, walk: Walk): NfVerdict {
  const { skb } = walk;
  table.countPolicy(walk.state.hook, walk.packet.length);
  if (chain.policy === NF_DROP) walk.dropRule = chain.policyRule;
  // That an empty chain lets everything pass is not worth a line.
  if (skb.trace !== undefined && (chain.entries.length > 0 || chain.policy === NF_DROP)) {
    skb.trace.steps.push({
      kind: "rule",
      netns: walk.netns,
      packet: skb.number,
      rule: chain.policyRule,
      evaluated: chain.entries.length,
      effect: formatPolicy(chain.policy),
    });
  }
  return chain.policy ?? NF_ACCEPT;
}

/** @returns the verdict, or XT_RETURN at the end */
function runChain(table: Table, chain: Chain, walk: Walk): TargetVerdict {
  const { entries, dispatch } = chain;
  if (dispatch === null) {
    for (let i = 0; i < entries.length; i++) {
      const verdict = runRule(table, entries[i] as RuleEntry, i, walk);
      if (verdict !== XT_CONTINUE) return leave(walk, i, verdict);
    }
    return leave(walk, entries.length - 1, XT_RETURN);
  }
  const keyed = dispatch.candidates(walk);
  const { others } = dispatch;
  for (let k = 0, o = 0; k < keyed.length || o < others.length; ) {
    // Both are in order: the lower position is next.
    const fromKeyed =
      o >= others.length || (keyed[k] ?? Number.POSITIVE_INFINITY) < (others[o] as number);
    const i = (fromKeyed ? keyed[k++] : others[o++]) as number;
    const verdict = runRule(table, entries[i] as RuleEntry, i, walk);
    if (verdict !== XT_CONTINUE) return leave(walk, i, verdict);
  }
  return leave(walk, entries.length - 1, XT_RETURN);
}

/** The kernel has evaluated every rule up to this one. */
function leave(walk: Walk, position: number, verdict: TargetVerdict): TargetVerdict {
  walk.evaluated += position + 1;
  return verdict;
}

function runRule(table: Table, entry: RuleEntry, position: number, walk: Walk): TargetVerdict {
  const { rule } = entry;
  if (!rule.fits(walk)) return XT_CONTINUE;
  if (walk.netns.network.overlooks?.(entry) === true) return XT_CONTINUE;
  table.count(entry, walk.packet.length);
  const { jump, target } = rule;
  const step = walk.skb.trace === undefined ? undefined : traceRule(entry, position, walk);
  if (jump !== undefined) {
    if (step !== undefined) step.effect = `${rule.goto ? "goto" : "jump"} ${jump}`;
    const verdict = runChain(table, table.find(jump) as Chain, walk);
    return verdict === XT_RETURN && !rule.goto ? XT_CONTINUE : verdict;
  }
  if (target === undefined) return XT_CONTINUE;
  const verdict = target.run(walk);
  if (step !== undefined) step.effect = target.effect(walk);
  if (verdict === NF_DROP && target.dropsItself !== true) walk.dropRule = entry;
  return verdict;
}

type OpenStep = { -readonly [K in keyof FilterStep]: FilterStep[K] };

/** Records a rule before it acts, so that what it sends comes behind it. */
function traceRule(entry: RuleEntry, position: number, walk: Walk): OpenStep {
  const { skb, netns } = walk;
  const step: OpenStep = {
    kind: "rule",
    netns,
    packet: skb.number,
    rule: entry,
    evaluated: position + 1,
    effect: "continue",
  };
  skb.trace?.steps.push(step);
  return step;
}
