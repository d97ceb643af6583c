import type { NetNamespace } from "@cnilab/linux";
import { networkOf } from "../conf/net-conf.ts";
import { forwardText, masqueradeText, TABLES, tableText } from "./nftables-rules.ts";
import { RULE_ORIGIN, type TrafficContext, type TrafficRules } from "./traffic-rules.ts";

/** The rules by nftables, set once (pkg/trafficmngr/nftables). */
export class NftablesTraffic implements TrafficRules {
  readonly #context: TrafficContext;

  constructor(context: TrafficContext) {
    this.#context = context;
    this.#apply(tableText(4));
    this.#apply(tableText(6));
  }

  setUpMasquerade(): void {
    const { conf, lease, options } = this.#context;
    for (const family of [4, 6] as const) {
      const network = networkOf(conf, family);
      const subnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
      if (network === undefined || subnet === undefined) continue;
      this.#apply(masqueradeText(network, subnet, !options.ipMasqFullyRandomDisable));
    }
  }

  setUpForward(): void {
    for (const family of [4, 6] as const) {
      const network = networkOf(this.#context.conf, family);
      if (network !== undefined) this.#apply(forwardText(network));
    }
  }

  #apply(text: string): void {
    this.#context.netns.nftables.apply(text, { origin: RULE_ORIGIN });
  }

  stop(): void {}

  /** What flanneld removes when it runs with iptables: its tables, whole. */
  static cleanUp(netns: NetNamespace): void {
    const nftables = netns.findNftables();
    for (const { family, name } of Object.values(TABLES)) {
      if (nftables?.hasTable(family, name)) nftables.apply(`delete table ${family} ${name}\n`);
    }
  }
}
