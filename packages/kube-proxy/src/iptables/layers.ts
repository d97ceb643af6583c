import { ChainLayer } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import type { ServiceState } from "../service-state.ts";
import type { NodeFacts, Ruleset, RulesetRenderer } from "./ruleset.ts";
import type { RenderedChain } from "./service-rules.ts";

interface Made {
  readonly layer: ChainLayer;
  /** Rules by table and chain. */
  readonly chains: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;
}

/**
 * The chains that nodes share: one layer for all nodes with equal rules. From one state to the next
 * only chains that differ are parsed again, as kube-proxy hands only those to iptables-restore.
 */
export class Layers {
  readonly #family: IpFamily;
  readonly #renderer: RulesetRenderer;
  readonly #byState = new WeakMap<ServiceState, Map<string, ChainLayer>>();
  /** The layer made last, of whatever variant: the next one is made from it. */
  #last: Made | undefined;

  constructor(family: IpFamily, renderer: RulesetRenderer) {
    this.#family = family;
    this.#renderer = renderer;
  }

  of(state: ServiceState, node: NodeFacts): ChainLayer {
    let variants = this.#byState.get(state);
    if (variants === undefined) {
      variants = new Map();
      this.#byState.set(state, variants);
    }
    const variant = this.#renderer.variant(state, node);
    let layer = variants.get(variant);
    if (layer === undefined) {
      this.#last = this.#make(this.#renderer.render(state, node), this.#last);
      layer = this.#last.layer;
      variants.set(variant, layer);
    }
    return layer;
  }

  #make(ruleset: Ruleset, last: Made | undefined): Made {
    const origin = (_table: string, chain: string, rule: string) => ruleset.origin(chain, rule);
    const chains = new Map(
      Object.entries(ruleset.tables).map(([table, list]) => [
        table,
        new Map(list.map((chain) => [chain.name, chain.rules])),
      ]),
    );
    const layer =
      last === undefined
        ? ChainLayer.parse(this.#family, restoreText(ruleset), origin)
        : last.layer.with(differences(last.chains, chains), origin);
    return { layer, chains };
  }
}

/** Input for iptables-restore. */
export function restoreText(ruleset: Ruleset): string {
  const lines: string[] = [];
  for (const [table, chains] of Object.entries(ruleset.tables)) {
    lines.push(`*${table}`, ...chains.map((c) => `:${c.name} - [0:0]`));
    for (const { name, rules } of chains as readonly RenderedChain[]) {
      for (const rule of rules) lines.push(`-A ${name} ${rule}`);
    }
    lines.push("COMMIT");
  }
  return `${lines.join("\n")}\n`;
}

/** Chains that are new or have other rules, and, as `undefined`, those that are gone. */
function differences(before: Made["chains"], after: Made["chains"]) {
  const changes: Record<string, Record<string, readonly string[] | undefined>> = {};
  for (const [table, chains] of after) {
    const old = before.get(table);
    const changed: Record<string, readonly string[] | undefined> = {};
    for (const [name, rules] of chains) {
      const known = old?.get(name);
      if (known === rules) continue;
      if (known?.length === rules.length && known.every((r, i) => r === rules[i])) continue;
      changed[name] = rules;
    }
    for (const name of old?.keys() ?? []) if (!chains.has(name)) changed[name] = undefined;
    changes[table] = changed;
  }
  return changes;
}
