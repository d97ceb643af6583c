import { formatIp } from "@cnilab/net";
import { flowHash } from "../../ip/flow-hash.ts";
import type { Skb } from "../../skb.ts";
import {
  HOOK_NAMES,
  type HookFunction,
  type HookNumber,
  type HookState,
  NF_ACCEPT,
  NF_DROP,
  NF_INET_LOCAL_OUT,
  type NfVerdict,
} from "../hooks.ts";
import { routeMeHarder } from "../route-me-harder.ts";
import { doTable } from "./do-table.ts";
import type { ExtensionState } from "./extension-state.ts";
import type { Table } from "./table.ts";
import { Walk } from "./walk.ts";

/** One builtin chain of one table at its hook. */
export class TableHook implements HookFunction {
  readonly priority: number;
  readonly hook: HookNumber;
  readonly #tool: string;
  readonly #table: Table;
  readonly #memory: ExtensionState;
  /** A packet of this machine's own may need another route when the table has changed it. */
  readonly #reroutes: boolean;

  /** @param tool `iptables` or `ip6tables` */
  constructor(tool: string, table: Table, hook: HookNumber, memory: ExtensionState) {
    this.priority = table.builtin.priority(hook);
    this.hook = hook;
    this.#tool = tool;
    this.#table = table;
    this.#memory = memory;
    this.#reroutes = table.name === "mangle" && hook === NF_INET_LOCAL_OUT;
  }

  get name(): string {
    return `${this.#tool} ${this.#table.name} ${HOOK_NAMES[this.hook]}`;
  }

  run(skb: Skb, state: HookState): NfVerdict {
    const table = this.#table;
    const chain = table.base(this.hook);
    if (chain === undefined) return NF_ACCEPT;
    if (state.netns.kernel.nftTracing) flowHash(skb);
    if (chain.entries.length === 0 && chain.policy === NF_ACCEPT && skb.trace === undefined) {
      table.countPolicy(this.hook, skb.packet.length);
      return NF_ACCEPT;
    }
    const walk = new Walk(skb, state, this.#memory);
    const { src, dst, tos, ttl } = walk.packet;
    const { mark } = skb;
    const verdict = doTable(table, chain, walk);
    this.#trace(walk, verdict);
    if (verdict === NF_DROP) return drop(walk);
    if (!this.#reroutes || verdict !== NF_ACCEPT) return verdict;
    const { packet } = walk;
    const changed =
      packet.src !== src || packet.dst !== dst || packet.tos !== tos || skb.mark !== mark;
    // IPv6 looks at the hop limit, too, though no route depends on it (ip6t_mangle_out, nf_route_table_hook6).
    const hopsChanged = packet.version === 6 && packet.ttl !== ttl;
    return changed || hopsChanged ? reroute(walk) : verdict;
  }

  #trace({ skb, state, evaluated }: Walk, verdict: NfVerdict): void {
    skb.trace?.steps.push({
      kind: "hook",
      netns: state.netns,
      packet: skb.number,
      family: state.family,
      hook: state.hook,
      table: `${this.#tool} ${this.#table.name}`,
      verdict,
      evaluated,
    });
  }
}

function drop(walk: Walk): NfVerdict {
  const { skb, state, netns, dropRule } = walk;
  const dev = state.in ?? state.out;
  // A target that says by itself why it drops leaves no rule.
  if (dropRule !== undefined) netns.network.drop(skb, netns, "NETFILTER_DROP", dev, "", dropRule);
  return NF_DROP;
}

/** Marks and addresses choose routes (`nf_route_table_hook4`, `ipt_mangle_out`). */
function reroute({ skb, netns, state }: Walk): NfVerdict {
  if (routeMeHarder(skb, netns) === undefined) return NF_ACCEPT;
  const detail = `no route to ${formatIp(skb.ip.dst)} after mangle OUTPUT`;
  netns.network.drop(skb, netns, "IP_OUTNOROUTES", state.out, detail);
  return NF_DROP;
}
