import type { FlowEffect } from "../../flow-cache.ts";
import { ConnectionCount } from "../connection-count.ts";
import type { Operation } from "./operation.ts";
import type { ConnectionLimit, Counter, Limit, Quota } from "./statement.ts";
import type { StatementState } from "./table.ts";
import { GO_ON, NEXT_RULE, type Outcome, type Walk } from "./walk.ts";

const NANOSECONDS = 1e9;

/**
 * Counts, or asks whether a limit or quota has something left. What was counted belongs to the table
 * of one namespace, the rule to all that share it.
 */
export class StatefulOperation implements Operation {
  readonly #statement: Counter | Limit | Quota;

  constructor(statement: Counter | Limit | Quota) {
    this.#statement = statement;
  }

  run(walk: Walk): Outcome {
    return runStateful(walk, this.#statement) ? GO_ON : NEXT_RULE;
  }
}

/** False where a limit or quota stops the rule. */
export function runStateful(walk: Walk, statement: Counter | Limit | Quota): boolean {
  const state = walk.stateOf(statement);
  switch (statement.kind) {
    case "counter":
      count(walk, state);
      return true;
    case "limit":
      return withinLimit(walk, statement, state);
    case "quota":
      return withinQuota(walk, statement, state);
  }
}

function count({ skb, netns }: Walk, state: StatementState): void {
  const { length } = skb;
  state.packets++;
  state.bytes += length;
  netns.network.recording?.effect(new CounterEffect(state, length));
}

/** What each packet of a cached flow does to a counter. */
class CounterEffect implements FlowEffect {
  readonly #state: StatementState;
  readonly #bytes: number;

  constructor(state: StatementState, bytes: number) {
    this.#state = state;
    this.#bytes = bytes;
  }

  repeat(packets: number): void {
    this.#state.packets += packets;
    this.#state.bytes += packets * this.#bytes;
  }
}

/** `ct count` (net/netfilter/nft_connlimit.c nft_connlimit_do_eval): all of a zone count as one. */
export class ConnectionLimitOperation implements Operation {
  readonly #statement: ConnectionLimit;

  constructor(statement: ConnectionLimit) {
    this.#statement = statement;
  }

  run(walk: Walk): Outcome {
    const { skb, netns, table } = walk;
    netns.network.recording?.unrepeatable();
    const { ct } = skb;
    if (ct === undefined) return NEXT_RULE;
    let known = table.connections.get(this.#statement);
    if (known === undefined) {
      known = new ConnectionCount();
      table.connections.set(this.#statement, known);
    }
    const { count, over } = this.#statement;
    return known.add(netns, String(ct.zone), ct) > count === over ? GO_ON : NEXT_RULE;
  }
}

/** A token bucket in nanoseconds (net/netfilter/nft_limit.c nft_limit_eval). */
function withinLimit(walk: Walk, limit: Limit, state: StatementState): boolean {
  walk.netns.network.recording?.unrepeatable();
  const nanoseconds = limit.unitSeconds * NANOSECONDS;
  const { rate, burst, countsBytes, over } = limit;
  const most = countsBytes
    ? Math.floor((nanoseconds * (rate + burst)) / rate)
    : Math.floor(nanoseconds / rate) * burst;
  const cost = countsBytes
    ? Math.floor((nanoseconds * walk.skb.length) / rate)
    : Math.floor(nanoseconds / rate);
  if (Number.isNaN(state.tokens)) state.tokens = most;
  const elapsed = (walk.now - state.updated) * 1e6;
  const tokens = Math.min(most, state.tokens + elapsed);
  state.updated = walk.now;
  const enough = tokens >= cost;
  state.tokens = enough ? tokens - cost : tokens;
  return enough !== over;
}

/** net/netfilter/nft_quota.c nft_quota_do_eval */
function withinQuota(walk: Walk, quota: Quota, state: StatementState): boolean {
  walk.netns.network.recording?.unrepeatable();
  state.bytes += walk.skb.length;
  return state.bytes + quota.used >= quota.bytes === quota.over;
}
