import { formatIp, type IpAddress, type IpFamily, type Prefix } from "@cnilab/net";
import { DEVICE } from "../names/devices.ts";

/** What the chains of one family on one node depend on (pkg/datapath/iptables/cell.go SharedConfig). */
export interface ChainSettings {
  readonly family: IpFamily;
  readonly tunnel: boolean;
  readonly endpointRoutes: boolean;
  readonly randomFully: boolean;
  /** No tracking of packets to and from here (`installNoConntrackIptablesRules`). */
  readonly noTrack: Prefix | undefined;
  /** Absent where nothing is masqueraded, or programs do it. */
  readonly masquerade: MasqueradeRules | undefined;
}

export interface MasqueradeRules {
  /** The node's own range. */
  readonly allocRange: Prefix;
  /** Where pods' own addresses are seen: the native routing CIDR, or the node's range. */
  readonly exclusion: Prefix;
  /** The router's address. */
  readonly source: IpAddress;
  /** The set of nodes' addresses; absent with tunnels. */
  readonly nodeSet: string | undefined;
}

interface CiliumChain {
  readonly name: string;
  readonly table: "filter" | "nat" | "mangle" | "raw";
  /** The built-in chain that leads to it. */
  readonly hook: string;
  readonly ipv6: boolean;
}

/** pkg/datapath/iptables/custom_chain.go */
const CHAINS: readonly CiliumChain[] = [
  { name: "CILIUM_INPUT", table: "filter", hook: "INPUT", ipv6: true },
  { name: "CILIUM_OUTPUT", table: "filter", hook: "OUTPUT", ipv6: true },
  { name: "CILIUM_OUTPUT_raw", table: "raw", hook: "OUTPUT", ipv6: true },
  { name: "CILIUM_POST_nat", table: "nat", hook: "POSTROUTING", ipv6: true },
  { name: "CILIUM_OUTPUT_nat", table: "nat", hook: "OUTPUT", ipv6: false },
  { name: "CILIUM_PRE_nat", table: "nat", hook: "PREROUTING", ipv6: false },
  { name: "CILIUM_POST_mangle", table: "mangle", hook: "POSTROUTING", ipv6: false },
  { name: "CILIUM_PRE_mangle", table: "mangle", hook: "PREROUTING", ipv6: true },
  { name: "CILIUM_PRE_raw", table: "raw", hook: "PREROUTING", ipv6: true },
  { name: "CILIUM_FORWARD", table: "filter", hook: "FORWARD", ipv6: true },
];

/** Marks and their masks (pkg/datapath/linux/linux_defaults/mark.go), as the agent writes them. */
const MARK = {
  toProxy: "0x000200",
  toProxyMatch: "0x000200/0x000f00",
  proxyReply: "0x000a00/0xfffffeff",
  upstream: "0x000800/0x000e00",
  fromProxy: "0x000a00/0x000e00",
  identity: "0x000f00/0x000f00",
  decrypt: "0x000d00/0x000f00",
  encrypt: "0x000e00/0x000f00",
  proxyToWorld: "0x000800/0x000f00",
  overlay: "0x000400/0x000f00",
  host: "0x000c00/0x000f00",
} as const;

/**
 * The chains of Cilium with all that leads to them, as input of iptables-restore with `--noflush`: what was in them before goes, and feeder
 * rules come first in the built-in chains.
 * @param there whether a table has a feeder rule already
 */
export function ciliumChains(
  settings: ChainSettings,
  there: (table: string, feeder: string) => boolean,
): string {
  const rules = rulesOf(settings);
  const lines: string[] = [];
  for (const table of ["raw", "mangle", "nat", "filter"] as const) {
    const chains = CHAINS.filter((c) => c.table === table && (c.ipv6 || settings.family === 4));
    lines.push(`*${table}`);
    for (const { name } of chains) lines.push(`:${name} - [0:0]`);
    for (const rule of rules[table]) lines.push(rule);
    for (const { name, hook } of chains) {
      const feeder = `${hook} -m comment --comment "cilium-feeder: ${name}" -j ${name}`;
      if (there(table, `-A ${feeder}`)) lines.push(`-D ${feeder}`);
      lines.push(`-I ${feeder}`);
    }
    lines.push("COMMIT");
  }
  return `${lines.join("\n")}\n`;
}

type Rules = Readonly<Record<CiliumChain["table"], string[]>>;

function rulesOf(settings: ChainSettings): Rules {
  const rules: Rules = { raw: [], mangle: [], nat: [], filter: [] };
  const delivery = settings.endpointRoutes ? "lxc+" : DEVICE.host;
  staticProxyRules(rules, settings, delivery);
  forwardRules(rules.filter, delivery);
  rules.filter.push(hostTrafficMark());
  if (settings.masquerade !== undefined) {
    masqueradeRules(rules.nat, settings, settings.masquerade, delivery);
  }
  if (settings.noTrack !== undefined) {
    for (const chain of ["CILIUM_PRE_raw", "CILIUM_OUTPUT_raw"]) {
      for (const side of ["-s", "-d"]) {
        // Inserted one after the other: the last comes first.
        rules.raw.unshift(
          `-A ${chain} ${side} ${settings.noTrack} -m comment --comment "cilium: NOTRACK for pod traffic" -j CT --notrack`,
        );
      }
    }
  }
  return rules;
}

/** installStaticProxyRules */
function staticProxyRules(rules: Rules, { family }: ChainSettings, delivery: string): void {
  const { raw, filter, mangle } = rules;
  const notrack = (chain: string, match: string, what: string) =>
    raw.push(
      `-A ${chain} ${match} -m comment --comment "cilium: NOTRACK for ${what}" -j CT --notrack`,
    );
  notrack("CILIUM_PRE_raw", `-m mark --mark ${MARK.toProxyMatch}`, "proxy traffic");
  filter.push(accept("CILIUM_INPUT", MARK.toProxyMatch, "cilium: ACCEPT for proxy traffic"));
  for (const dev of new Set([delivery, DEVICE.host])) {
    notrack(
      "CILIUM_OUTPUT_raw",
      `-o ${dev} -m mark --mark ${MARK.proxyReply}`,
      "proxy return traffic",
    );
    notrack(
      "CILIUM_OUTPUT_raw",
      `-o ${dev} -m mark --mark ${MARK.upstream}`,
      "L7 proxy upstream traffic",
    );
  }
  filter.push(accept("CILIUM_OUTPUT", MARK.fromProxy, "cilium: ACCEPT for proxy traffic"));
  if (family === 4) {
    filter.push(
      accept("CILIUM_OUTPUT", MARK.upstream, "cilium: ACCEPT for l7 proxy upstream traffic"),
    );
  }
  mangle.push(
    `-A CILIUM_PRE_mangle ! -o lo -m socket --transparent -m mark ! --mark ${MARK.encrypt} -m mark ! --mark ${MARK.proxyToWorld} -m comment --comment "cilium: any->pod redirect proxied traffic to host proxy" -j MARK --set-mark ${MARK.toProxy}`,
  );
}

function accept(chain: string, mark: string, comment: string): string {
  return `-A ${chain} -m mark --mark ${mark} -m comment --comment "${comment}" -j ACCEPT`;
}

/** installForwardChainRulesIpX */
function forwardRules(filter: string[], delivery: string): void {
  const add = (match: string, comment: string) =>
    filter.push(`-A CILIUM_FORWARD ${match} -m comment --comment "cilium: ${comment}" -j ACCEPT`);
  add(`-o ${DEVICE.host}`, `any->cluster on ${DEVICE.host} forward accept`);
  add(`-i ${DEVICE.host}`, `cluster->any on ${DEVICE.host} forward accept (nodeport)`);
  add("-i lxc+", "cluster->any on lxc+ forward accept");
  add(`-i ${DEVICE.net}`, `cluster->any on ${DEVICE.net} forward accept (nodeport)`);
  if (delivery === DEVICE.host) return;
  add(`-o ${delivery}`, `any->cluster on ${delivery} forward accept`);
  add(`-i ${delivery}`, `cluster->any on ${delivery} forward accept (nodeport)`);
}

/** What programs of the node send is told from what was masqueraded to its address (installHostTrafficMarkRule). */
function hostTrafficMark(): string {
  const others = [
    MARK.encrypt,
    MARK.decrypt,
    MARK.overlay,
    MARK.fromProxy,
    MARK.upstream,
    MARK.identity,
  ];
  const without = others.map((mark) => `-m mark ! --mark ${mark}`).join(" ");
  return `-A CILIUM_OUTPUT ${without} -m comment --comment "cilium: host->any mark as from host" -j MARK --set-xmark ${MARK.host}`;
}

/** installMasqueradeRules */
function masqueradeRules(
  nat: string[],
  { family, tunnel, endpointRoutes, randomFully }: ChainSettings,
  { allocRange, exclusion, source, nodeSet }: MasqueradeRules,
  delivery: string,
): void {
  const add = (match: string, comment: string, target: string) =>
    nat.push(`-A CILIUM_POST_nat ${match} -m comment --comment "${comment}" -j ${target}`);
  const snat = `SNAT --to-source ${formatIp(source)}`;
  if (nodeSet !== undefined) {
    const comment = "exclude traffic to cluster nodes from masquerade";
    add(`-s ${allocRange} -m set --match-set ${nodeSet} dst`, comment, "ACCEPT");
  }
  const fully = randomFully ? " --random-fully" : "";
  add(
    `-s ${allocRange} ! -d ${exclusion} ! -o cilium_+`,
    "cilium masquerade non-cluster",
    `MASQUERADE${fully}`,
  );
  add(`-m mark --mark ${MARK.fromProxy}`, "exclude proxy return traffic from masquerade", "ACCEPT");
  if (tunnel) {
    add(
      `! -s ${allocRange} ! -d ${allocRange} -o ${DEVICE.host}`,
      "cilium host->cluster masquerade",
      snat,
    );
  }
  const loopback = family === 4 ? "127.0.0.1" : "::1";
  add(`-s ${loopback} -o ${delivery}`, `cilium host->cluster from ${loopback} masquerade`, snat);
  if (endpointRoutes) return;
  add(
    `-o ${delivery} -m mark --mark ${MARK.identity} -m conntrack --ctstate DNAT`,
    "hairpin traffic that originated from a local pod",
    snat,
  );
}
