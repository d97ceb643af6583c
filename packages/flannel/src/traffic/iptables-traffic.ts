import type { Timer } from "@cnilab/core";
import { type Iptables, IptablesError, type NetNamespace } from "@cnilab/linux";
import { type IpFamily, type Prefix, parsePrefix } from "@cnilab/net";
import { networkOf } from "../conf/net-conf.ts";
import {
  FORWARD_CHAIN,
  forwardRules,
  type IptablesRule,
  masqueradeRules,
  POSTROUTING_CHAIN,
} from "./iptables-rules.ts";
import { RULE_ORIGIN, type TrafficContext, type TrafficRules } from "./traffic-rules.ts";

/** The rules by iptables, looked after every few seconds (pkg/trafficmngr/iptables). */
export class IptablesTraffic implements TrafficRules {
  readonly #context: TrafficContext;
  readonly #timers = new Set<Timer>();

  constructor(context: TrafficContext) {
    this.#context = context;
  }

  setUpMasquerade(): void {
    const { lease, previous, options } = this.#context;
    for (const family of [4, 6] as const) {
      const network = networkOf(this.#context.conf, family);
      const subnet = family === 4 ? lease.subnet : lease.ipv6Subnet;
      if (network === undefined || subnet === undefined) continue;
      const before =
        family === 4
          ? { network: previous.network, subnet: previous.subnet }
          : { network: previous.ipv6Network, subnet: previous.ipv6Subnet };
      const fullyRandom = !options.ipMasqFullyRandomDisable;
      if (!same(before.network, network) || !same(before.subnet, subnet)) {
        this.#deleteOld(family, before, fullyRandom);
      }
      this.#clearChain(family, "nat", POSTROUTING_CHAIN);
      this.#setUp(family, () => masqueradeRules(network, subnet, fullyRandom));
    }
  }

  setUpForward(): void {
    for (const family of [4, 6] as const) {
      const network = networkOf(this.#context.conf, family);
      if (network === undefined) continue;
      this.#clearChain(family, "filter", FORWARD_CHAIN);
      this.#setUp(family, () => forwardRules(network));
    }
  }

  /** Rules of an earlier run with another network or subnet. */
  #deleteOld(
    family: IpFamily,
    before: { network: Prefix | undefined; subnet: Prefix | undefined },
    fullyRandom: boolean,
  ): void {
    const { network, subnet } = before;
    // Without a file flanneld looks for rules of 0.0.0.0/0: only those without a network can be there.
    const rules =
      network === undefined || subnet === undefined
        ? masqueradeRules(ANY[family], ANY[family], fullyRandom).slice(0, 2)
        : masqueradeRules(network, subnet, fullyRandom);
    const iptables = this.#iptables(family);
    const lines = rules.filter((r) => exists(iptables, r)).map((r) => `-D ${r.chain} ${r.rule}`);
    if (lines.length > 0) restore(iptables, "nat", lines);
  }

  #clearChain(family: IpFamily, table: string, chain: string): void {
    const iptables = this.#iptables(family);
    if (iptables.hasChain(table, chain)) iptables.flush(table, chain);
    else iptables.newChain(table, chain);
  }

  /** @param rulesOf makes the rules: thousands of nodes would keep them for nothing */
  #setUp(family: IpFamily, rulesOf: () => readonly IptablesRule[]): void {
    this.#bootstrap(family, rulesOf());
    const everyMs = this.#context.options.iptablesResyncSeconds * 1000;
    // While nothing has changed, there is nothing to look for: 5,000 nodes do this every five seconds.
    let seen = this.#iptables(family).generation;
    const resync = () => {
      this.#timers.delete(timer);
      const iptables = this.#iptables(family);
      if (iptables.generation !== seen) {
        const rules = rulesOf();
        if (!rules.every((rule) => exists(iptables, rule))) this.#bootstrap(family, rules);
        seen = iptables.generation;
      }
      schedule();
    };
    let timer: Timer;
    const schedule = () => {
      timer = this.#context.clock.schedule(everyMs, resync, { background: true });
      this.#timers.add(timer);
    };
    schedule();
  }

  /**
   * Deletes the rules that are there and appends all, so that they stand together, in order, at the end
   * of their chains (ipTablesCleanAndBuild).
   */
  #bootstrap(family: IpFamily, rules: readonly IptablesRule[]): void {
    const iptables = this.#iptables(family);
    const lines: string[] = [];
    const table = (rules[0] as IptablesRule).table;
    for (const rule of rules) {
      const chain = rule.table === "nat" ? POSTROUTING_CHAIN : FORWARD_CHAIN;
      if (!iptables.hasChain(rule.table, chain)) iptables.newChain(rule.table, chain);
      if (exists(iptables, rule)) lines.push(`-D ${rule.chain} ${rule.rule}`);
      lines.push(`-A ${rule.chain} ${rule.rule}`);
    }
    restore(iptables, table, lines);
  }

  #iptables(family: IpFamily): Iptables {
    return this.#context.netns.iptables(family);
  }

  stop(): void {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }

  /**
   * What flanneld removes when it runs with nftables: FLANNEL-POSTRTG, where nothing jumps to it, and a
   * chain FLANNEL-FWD that it looks for in the wrong table.
   */
  static cleanUp(netns: NetNamespace): void {
    for (const family of [4, 6] as const) {
      const iptables = netns.findIptables(family);
      if (iptables === undefined) continue;
      for (const chain of [POSTROUTING_CHAIN, FORWARD_CHAIN]) clearAndDelete(iptables, chain);
    }
  }
}

const ANY: Readonly<Record<IpFamily, Prefix>> = {
  4: parsePrefix("0.0.0.0/0"),
  6: parsePrefix("::/0"),
};

function same(x: Prefix | undefined, y: Prefix): boolean {
  return x?.equals(y) === true;
}

/** As `iptables -C`, for which a chain that is not there has no rules. */
function exists(iptables: Iptables, { table, chain, rule }: IptablesRule): boolean {
  const needed = table === "nat" ? POSTROUTING_CHAIN : FORWARD_CHAIN;
  return iptables.hasChain(table, needed) && iptables.check(table, chain, rule);
}

function restore(iptables: Iptables, table: string, lines: readonly string[]): void {
  const text = [`*${table}`, ...lines, "COMMIT", ""].join("\n");
  iptables.restore(text, { noflush: true, origin: RULE_ORIGIN });
}

/** A chain that rules still jump to is emptied, and stays. */
function clearAndDelete(iptables: Iptables, chain: string): void {
  if (!iptables.hasChain("nat", chain)) return;
  iptables.flush("nat", chain);
  try {
    iptables.deleteChain("nat", chain);
  } catch (error) {
    if (!(error instanceof IptablesError)) throw error;
  }
}
