import type { Nftables } from "@cnilab/linux";
import { type IpFamily, isLoopback, parseIp } from "@cnilab/net";
import { type KubeProxyConfig, nodePortAddresses } from "../config.ts";
import { localTraffic } from "../local-traffic.ts";
import type { Proxier } from "../proxier.ts";
import { nodeIsIn, nodePortIps, type ProxierNode } from "../proxier-node.ts";
import type { ServiceState } from "../service-state.ts";
import { FAMILY_WORDS, TABLE } from "./base-ruleset.ts";
import type { NftNodeFacts } from "./ruleset.ts";
import type { SharedTables, SyncedTable } from "./shared-tables.ts";

/**
 * Milliseconds after which a stale chain is deleted. The real program wants more than a second since
 * the last sync, which it has when its timer of one second fires.
 */
const STALE_CHAIN_AGE = 1000;

/** kube-proxy in nftables mode, in one family, on one node (pkg/proxy/nftables/proxier.go, v1.35). */
export class NftablesProxier implements Proxier {
  readonly #family: IpFamily;
  readonly #config: KubeProxyConfig;
  readonly #node: ProxierNode;
  readonly #tables: SharedTables;
  /** Held: whoever else has put off rules here need not write them for a table of kube-proxy's own. */
  #nftables: Nftables | undefined;
  #synced: SyncedTable | undefined;
  #state: ServiceState | undefined;
  #syncedAt = 0;

  constructor(family: IpFamily, config: KubeProxyConfig, node: ProxierNode, tables: SharedTables) {
    this.#family = family;
    this.#config = config;
    this.#node = node;
    this.#tables = tables;
  }

  sync(state: ServiceState, now: number): void {
    this.#nftables ??= this.#node.netns.nftables;
    const nftables = this.#nftables;
    const isThere = nftables.hasTable(FAMILY_WORDS[this.#family].ip, TABLE);
    // Only the family in which something changed syncs.
    if (isThere && state === this.#state) return;
    // A table that somebody deleted is written anew, as after a sync that failed.
    const before = isThere ? this.#synced : undefined;
    const deleteOld = now - this.#syncedAt >= STALE_CHAIN_AGE;
    const table = this.#tables.next(state, this.#facts(), before, deleteOld);
    this.#synced = table;
    this.#state = state;
    this.#syncedAt = now;
    nftables.setLayer(table.layer);
    if (before === undefined) this.#addNodePortIps(nftables);
  }

  /** Into the set that is each node's own. */
  #addNodePortIps(nftables: Nftables): void {
    const { ip } = FAMILY_WORDS[this.#family];
    for (const address of this.#nodePortIps() ?? []) {
      // Node ports do not answer on loopback addresses in this mode.
      if (isLoopback(parseIp(address))) continue;
      const element = `add element ${ip} ${TABLE} nodeport-ips { ${address} }`;
      nftables.apply(element);
    }
  }

  /** `undefined` when node ports answer on all addresses. */
  #nodePortIps(): string[] | undefined {
    return nodePortIps(this.#node, nodePortAddresses(this.#config), this.#family);
  }

  #facts(): NftNodeFacts {
    const node = this.#node;
    return {
      topology: node.topology,
      localTraffic: localTraffic(this.#config, node.podCidrs(), this.#family),
      allNodePortIps: this.#nodePortIps() === undefined,
      nodeIsIn: nodeIsIn(node, this.#family),
    };
  }
}
