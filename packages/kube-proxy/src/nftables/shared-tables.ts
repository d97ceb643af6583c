import { NftTableLayer } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import type { KubeProxyConfig } from "../config.ts";
import type { ServiceState } from "../service-state.ts";
import { baseRuleset } from "./base-ruleset.ts";
import { type NftNodeFacts, type NftRuleset, NftRulesetRenderer } from "./ruleset.ts";
import { contentChanges, staleChains, type TableContent } from "./table-content.ts";

/** The table as a sync leaves it. Nodes with equal tables have the same one. */
export interface SyncedTable extends TableContent {
  readonly layer: NftTableLayer;
}

/** A rendered ruleset and the tables that hold it. */
interface Rendered {
  readonly ruleset: NftRuleset;
  /** By the stale chains that they hold besides. */
  readonly tables: Map<string, SyncedTable>;
  /** Which of them follows on a table, when that one's stale chains stay, and when they go. */
  readonly after: WeakMap<SyncedTable, [SyncedTable | undefined, SyncedTable | undefined]>;
}

/**
 * The tables that nodes share. One that nobody had before is made of the newest one by the commands
 * that differ, as kube-proxy gives only those to nft.
 */
export class SharedTables {
  readonly #family: IpFamily;
  readonly #config: KubeProxyConfig;
  readonly #serviceCidrs: readonly string[];
  readonly #renderer: NftRulesetRenderer;
  readonly #byState = new WeakMap<ServiceState, Map<string, Rendered>>();
  /** The newest table, of those where node ports answer on all addresses and of the others. */
  readonly #newest = new Map<boolean, SyncedTable>();

  /** @param serviceCidrs ServiceCIDRs of the API server */
  constructor(family: IpFamily, config: KubeProxyConfig, serviceCidrs: readonly string[]) {
    this.#family = family;
    this.#config = config;
    this.#serviceCidrs = serviceCidrs;
    this.#renderer = new NftRulesetRenderer(config);
  }

  /**
   * What a sync makes of a node's table.
   * @param before what the one before it left; none when the proxy starts
   * @param deleteOld whether stale chains are there long enough to be deleted
   */
  next(
    state: ServiceState,
    node: NftNodeFacts,
    before: SyncedTable | undefined,
    deleteOld: boolean,
  ): SyncedTable {
    const rendered = this.#rendered(state, node);
    if (before === undefined) return this.#table(rendered, new Set());
    let followers = rendered.after.get(before);
    if (followers === undefined) {
      followers = [undefined, undefined];
      rendered.after.set(before, followers);
    }
    const which = deleteOld ? 1 : 0;
    let table = followers[which];
    if (table === undefined) {
      table = this.#table(rendered, staleChains(before, rendered.ruleset, deleteOld));
      followers[which] = table;
    }
    return table;
  }

  #rendered(state: ServiceState, node: NftNodeFacts): Rendered {
    let variants = this.#byState.get(state);
    if (variants === undefined) {
      variants = new Map();
      this.#byState.set(state, variants);
    }
    const variant = this.#renderer.variant(state, node);
    let rendered = variants.get(variant);
    if (rendered === undefined) {
      const ruleset = this.#renderer.render(state, node);
      rendered = { ruleset, tables: new Map(), after: new WeakMap() };
      variants.set(variant, rendered);
    }
    return rendered;
  }

  #table({ ruleset, tables }: Rendered, stale: ReadonlySet<string>): SyncedTable {
    const key = [...stale].sort().join();
    let table = tables.get(key);
    if (table === undefined) {
      table = this.#make({ ruleset, stale });
      tables.set(key, table);
      this.#newest.set(ruleset.allNodePortIps, table);
    }
    return table;
  }

  #make(content: TableContent): SyncedTable {
    const { ruleset } = content;
    const newest = this.#newest.get(ruleset.allNodePortIps);
    const changes = contentChanges(this.#family, newest, content);
    const origin = (_rule: string, chain: string) => ruleset.originOf(chain);
    const layer =
      newest === undefined
        ? NftTableLayer.parse(`${this.#base(ruleset)}${changes}`, { origin })
        : newest.layer.with(changes, { origin });
    return { ...content, layer };
  }

  #base({ allNodePortIps }: NftRuleset): string {
    return baseRuleset(this.#family, {
      mark: 2 ** this.#config.masqueradeBit,
      allNodePortIps,
      serviceCidrs: this.#serviceCidrs,
    });
  }
}
