import type { Kernel } from "@cnilab/linux";
import type { Script } from "../../src/index.ts";

/** What the tools print of one namespace: `iptables-save -c`, `ip6tables-save -c`, `nft -j list ruleset`. */
export interface RuleListing {
  readonly netns: string;
  readonly iptables: string;
  readonly ip6tables: string;
  readonly nft: string;
}

/** One rule or policy and what it has counted. */
export type Counter = readonly [place: string, count: string];

const HOUR_MS = 3_600_000;

/**
 * Lets no count hang on the time that passes, which is no more than about right on a busy machine: neighbours are asked
 * for once and known from then on, those that nobody has stay asked for, and who proxies answers at once.
 */
export function freezeNeighbours(kernel: Kernel): void {
  for (const netns of kernel.namespaces) {
    for (const dev of netns.devices) {
      const frozen = {
        baseReachableTime: HOUR_MS,
        delayFirstProbeTime: HOUR_MS,
        retransTime: HOUR_MS,
        proxyDelay: 0,
      };
      dev.neigh4 = { ...dev.neigh4, ...frozen };
      dev.neigh6 = { ...dev.neigh6, ...frozen };
    }
  }
}

const FROZEN = {
  base_reachable_time_ms: HOUR_MS,
  delay_first_probe_time: HOUR_MS / 1000,
  retrans_time_ms: HOUR_MS,
  proxy_delay: 0,
};

/** What a namespace has learnt of neighbours and MACs is forgotten. */
const FORGET = [
  "for f in /sys/class/net/*/bridge/flush; do [ ! -e $f ] || echo 1 > $f; done",
  "ip neigh flush all",
];
/** And what it learns from now on is kept. */
const FREEZE = Object.entries(FROZEN).map(
  ([name, value]) => `for f in /proc/sys/net/ipv[46]/neigh/*/${name}; do echo ${value} > $f; done`,
);

/**
 * Lets the kernel's namespaces be as the model's, whose devices do not report the groups that they join: waits until no
 * more of these reports come, and forgets what they have taught, as some go through tunnels.
 */
export function afterReports({ namespaces }: Script, more: readonly string[] = []): string {
  return `
namespaces='${namespaces.join(" ")}'
reports() { for n in $namespaces; do ip netns exec $n grep OutMsgs /proc/net/snmp6; done; }
before=; until now=$(reports); [ "$now" = "$before" ]; do before=$now; sleep 0.2; done
for n in $namespaces; do ip netns exec $n bash -c '${[...more, ...FORGET].join("; ")}'; done`;
}

/** The same with neighbours frozen, before there are rules, which would count the reports. */
export function quietly(made: Script): Script {
  const [first] = made.ruleSets;
  if (first === undefined) return made;
  const rules = `\nip netns exec ${first.netns} ${first.command}`;
  return { ...made, text: made.text.replace(rules, () => afterReports(made, FREEZE) + rules) };
}

/** What the model's tools print of each namespace. */
export function listingsOf(kernel: Kernel): RuleListing[] {
  return [...kernel.namespaces].map((netns) => ({
    netns: netns.name,
    iptables: netns.findIptables(4)?.save(undefined, { counters: true }) ?? "",
    ip6tables: netns.findIptables(6)?.save(undefined, { counters: true }) ?? "",
    nft: JSON.stringify(netns.findNftables()?.json() ?? {}),
  }));
}

export function countersOf({ netns, iptables, ip6tables, nft }: RuleListing): Counter[] {
  return [
    ...iptablesCounters(`${netns} iptables`, iptables),
    ...iptablesCounters(`${netns} ip6tables`, ip6tables),
    ...nftablesCounters(`${netns} nft`, nft),
  ];
}

/** Rules are numbered in their chain: how they are spelled is for another test. */
function iptablesCounters(head: string, text: string): Counter[] {
  const counters: Counter[] = [];
  const numbers = new Map<string, number>();
  let table = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1);
    const policy = /^:(\S+) (ACCEPT|DROP) (\[.*\])$/.exec(line);
    if (policy !== null) {
      counters.push([`${head} ${table} ${policy[1]} policy`, policy[3] as string]);
      continue;
    }
    const rule = /^(\[\d+:\d+\]) -A (\S+)/.exec(line);
    if (rule === null) continue;
    const chain = `${head} ${table} ${rule[2]}`;
    const number = (numbers.get(chain) ?? 0) + 1;
    numbers.set(chain, number);
    counters.push([`${chain} ${number}`, rule[1] as string]);
  }
  return counters;
}

interface NftListing {
  readonly nftables?: readonly {
    readonly rule?: {
      readonly family: string;
      readonly table: string;
      readonly chain: string;
      readonly expr: readonly {
        readonly counter?: { readonly packets: number; readonly bytes: number };
      }[];
    };
  }[];
}

/** Counters of tables that are nft's own: those of iptables-nft have the names of iptables' tables. */
function nftablesCounters(head: string, json: string): Counter[] {
  const counters: Counter[] = [];
  const numbers = new Map<string, number>();
  for (const { rule } of (JSON.parse(json) as NftListing).nftables ?? []) {
    if (rule === undefined || IPTABLES_TABLES.includes(rule.table)) continue;
    const chain = `${head} ${rule.family} ${rule.table} ${rule.chain}`;
    const number = (numbers.get(chain) ?? 0) + 1;
    numbers.set(chain, number);
    for (const { counter } of rule.expr) {
      if (counter) counters.push([`${chain} ${number}`, `[${counter.packets}:${counter.bytes}]`]);
    }
  }
  return counters;
}

const IPTABLES_TABLES = ["filter", "nat", "mangle", "raw", "security"];

/** The counters that two sides do not agree on, as one line for each side; `undefined` where there are none. */
export function difference(
  model: readonly Counter[],
  kernel: readonly Counter[],
): { readonly model: string; readonly kernel: string } | undefined {
  const there = new Map(kernel);
  const places = new Set([...model.map(([place]) => place), ...there.keys()]);
  const here = new Map(model);
  const differing = [...places].filter((place) => here.get(place) !== there.get(place));
  if (differing.length === 0) return undefined;
  const say = (side: ReadonlyMap<string, string>): string =>
    differing.map((place) => `${place} ${side.get(place) ?? "is not there"}`).join(", ");
  return { model: say(here), kernel: say(there) };
}
