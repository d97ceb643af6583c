import type { NetNamespace } from "@cnilab/linux";
import { formatEndpoint, formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import {
  type FamilyConfig,
  type Firewaller,
  type FirewallerConfig,
  familyConfig,
  isLoopback4,
  isProxied,
  isUnspecified,
  type NetworkFirewall,
  type NetworkRules,
  type PortBinding,
} from "./firewaller.ts";

const TABLE = "docker-bridges";
const RAW = "raw-PREROUTING";
const PUBLISHED = "nat-prerouting-and-output";
/** Chains of each bridge, and what leads to them: by where a packet goes, or where it comes from. */
const JUMPS = [
  "filter-forward-in",
  "filter-forward-out",
  "nat-postrouting-in",
  "nat-postrouting-out",
] as const;

/** Rules of a chain stand in groups, whichever came first. */
type Group = "first" | "middle" | "ports" | "last";
const GROUPS: readonly Group[] = ["first", "middle", "ports", "last"];

interface Rule {
  readonly chain: string;
  readonly group: Group;
  readonly rule: string;
}

/** The `nftables` backend (drivers/bridge/internal/nftabler). */
export class NftablesFirewaller implements Firewaller {
  readonly #netns: NetNamespace;
  readonly #config: FirewallerConfig;
  /** What stands in the chains, by family and chain. */
  readonly #chains = new Map<string, Rule[]>();

  constructor(netns: NetNamespace, config: FirewallerConfig) {
    this.#netns = netns;
    this.#config = config;
    for (const family of config.families) this.#setUp(family);
  }

  addNetwork(rules: NetworkRules): NetworkFirewall {
    const { bridge } = rules;
    const { hairpin } = this.#config;
    const families = this.#config.families.filter(
      (family) => (family === 4 ? rules.ipv4 : rules.ipv6) !== undefined,
    );
    for (const family of families) {
      const table = tableOf(family);
      const config = (family === 4 ? rules.ipv4 : rules.ipv6) as FamilyConfig;
      this.#run([
        ...JUMPS.map((jump) => `add chain ${table} ${jump}__${bridge}`),
        ...JUMPS.map(
          (jump) => `add element ${table} ${jump}-jumps { "${bridge}" : jump ${jump}__${bridge} }`,
        ),
      ]);
      this.#change(family, networkRules(rules, config, family, hairpin), true);
    }
    const change = (address: IpAddress, found: readonly Rule[], add: boolean) => {
      const family = typeof address === "number" ? 4 : 6;
      if (families.includes(family)) this.#change(family, found, add);
    };
    const endpoint = (address: IpAddress, add: boolean) => {
      change(address, endpointRules(rules, address, this.#config), add);
    };
    const port = (binding: PortBinding, add: boolean) => {
      const found = portRules(rules, binding, hairpin);
      change(binding.hostIp, found.host, add);
      change(binding.address, found.container, add);
    };
    return {
      addEndpoint: (address) => endpoint(address, true),
      removeEndpoint: (address) => endpoint(address, false),
      addPort: (binding) => port(binding, true),
      removePort: (binding) => port(binding, false),
      remove: () => {
        for (const family of families) {
          const table = tableOf(family);
          this.#run([
            ...JUMPS.map((jump) => `delete element ${table} ${jump}-jumps { "${bridge}" }`),
            ...JUMPS.flatMap((jump) => [
              `flush chain ${table} ${jump}__${bridge}`,
              `delete chain ${table} ${jump}__${bridge}`,
            ]),
          ]);
          for (const jump of JUMPS) this.#chains.delete(`${family} ${jump}__${bridge}`);
        }
      },
    };
  }

  #setUp(family: IpFamily): void {
    const table = tableOf(family);
    const notLoopback = this.#config.hairpin
      ? ""
      : family === 4
        ? "ip daddr != 127.0.0.0/8 "
        : "ip6 daddr != ::1 ";
    const published = `fib daddr type local counter jump ${PUBLISHED}`;
    const base = (chain: string, type: string, hook: string, priority: string) =>
      `add chain ${table} ${chain} { type ${type} hook ${hook} priority ${priority}; policy accept; }`;
    this.#run([
      `add table ${table}`,
      `delete table ${table}`,
      `add table ${table}`,
      ...JUMPS.map((jump) => `add map ${table} ${jump}-jumps { type ifname : verdict; }`),
      base("filter-FORWARD", "filter", "forward", "filter"),
      base("nat-OUTPUT", "nat", "output", "dstnat"),
      base("nat-POSTROUTING", "nat", "postrouting", "srcnat"),
      base("nat-PREROUTING", "nat", "prerouting", "dstnat"),
      `add chain ${table} ${PUBLISHED}`,
      base(RAW, "filter", "prerouting", "raw"),
      `add rule ${table} filter-FORWARD oifname vmap @filter-forward-in-jumps`,
      `add rule ${table} filter-FORWARD iifname vmap @filter-forward-out-jumps`,
      `add rule ${table} nat-POSTROUTING iifname vmap @nat-postrouting-out-jumps`,
      `add rule ${table} nat-POSTROUTING oifname vmap @nat-postrouting-in-jumps`,
      `add rule ${table} nat-OUTPUT ${notLoopback}${published}`,
      `add rule ${table} nat-PREROUTING ${published}`,
    ]);
  }

  /** Chains that have other rules now are written anew. */
  #change(family: IpFamily, rules: readonly Rule[], add: boolean): void {
    const table = tableOf(family);
    const commands: string[] = [];
    for (const chain of new Set(rules.map((rule) => rule.chain))) {
      const key = `${family} ${chain}`;
      const concerned = rules.filter((rule) => rule.chain === chain);
      const before = (this.#chains.get(key) ?? []).filter(
        (known) => !concerned.some(({ rule }) => rule === known.rule),
      );
      const now = add ? [...before, ...concerned] : before;
      now.sort((x, y) => GROUPS.indexOf(x.group) - GROUPS.indexOf(y.group));
      this.#chains.set(key, now);
      commands.push(
        `flush chain ${table} ${chain}`,
        ...now.map(({ rule }) => `add rule ${table} ${chain} ${rule}`),
      );
    }
    if (commands.length > 0) this.#run(commands);
  }

  #run(commands: readonly string[]): void {
    this.#netns.nftables.apply(`${commands.join("\n")}\n`);
  }
}

function tableOf(family: IpFamily): string {
  return `${family === 4 ? "ip" : "ip6"} ${TABLE}`;
}

/** What a network has from its beginning (nftabler/network.go). */
function networkRules(
  { bridge, internal, icc, masquerade }: NetworkRules,
  { prefix, hostIp, routed, unprotected }: FamilyConfig,
  family: IpFamily,
  hairpin: boolean,
): readonly Rule[] {
  const ip = family === 4 ? "ip" : "ip6";
  const forwardIn = `filter-forward-in__${bridge}`;
  const forwardOut = `filter-forward-out__${bridge}`;
  const established = "ct state established,related counter accept";
  const within = icc ? "accept" : "drop";
  const rules: Rule[] = [
    { chain: forwardIn, group: "first", rule: established },
    { chain: forwardOut, group: "first", rule: established },
  ];
  if (internal) {
    const drop = (side: string, direction: string) =>
      `${side} != "${bridge}" counter drop comment "INTERNAL NETWORK ${direction}"`;
    return [
      ...rules,
      { chain: forwardIn, group: "middle", rule: drop("iifname", "INGRESS") },
      { chain: forwardIn, group: "last", rule: `counter ${within} comment "ICC"` },
      { chain: forwardOut, group: "middle", rule: drop("oifname", "EGRESS") },
    ];
  }
  if (routed) {
    const icmp = family === 4 ? "ip protocol icmp" : "meta l4proto ipv6-icmp";
    rules.push({
      chain: forwardIn,
      group: "middle",
      rule: `${icmp} counter accept comment "ICMP"`,
    });
  }
  rules.push(
    {
      chain: forwardIn,
      group: "middle",
      rule: `iifname "${bridge}" counter ${within} comment "ICC"`,
    },
    {
      chain: forwardIn,
      group: "last",
      rule: unprotected
        ? `counter accept comment "UNPROTECTED"`
        : `counter drop comment "UNPUBLISHED PORT DROP"`,
    },
    { chain: forwardOut, group: "last", rule: `counter accept comment "OUTGOING"` },
  );
  const snat =
    hostIp === undefined
      ? `masquerade comment "MASQUERADE"`
      : `snat to ${formatIp(hostIp)} comment "SNAT"`;
  if (masquerade && !routed) {
    rules.push({
      chain: `nat-postrouting-out__${bridge}`,
      group: "middle",
      rule: `oifname != "${bridge}" ${ip} saddr ${prefix} counter ${snat}`,
    });
  }
  if (hairpin) {
    const rule =
      hostIp === undefined
        ? `masquerade comment "MASQUERADE FROM HOST"`
        : `snat to ${formatIp(hostIp)} comment "SNAT FROM HOST"`;
    rules.push({
      chain: `nat-postrouting-in__${bridge}`,
      group: "middle",
      rule: `fib saddr type local counter ${rule}`,
    });
  }
  return rules;
}

/** Nobody outside reaches a container by its own address (nftabler/endpoint.go). */
function endpointRules(
  rules: NetworkRules,
  address: IpAddress,
  { allowDirectRouting }: FirewallerConfig,
): readonly Rule[] {
  const config = familyConfig(rules, address);
  if (config === undefined || rules.internal || config.unprotected || config.routed) return [];
  if (allowDirectRouting) return [];
  const own = [rules.bridge, ...rules.trustedHostInterfaces].map((name) => `"${name}"`);
  const devices = own.length === 1 ? own.join() : `{ ${own.join(", ")} }`;
  const rule = `${addressWords(address, "daddr")} iifname != ${devices} counter drop comment "DROP DIRECT ACCESS"`;
  return [{ chain: RAW, group: "middle", rule }];
}

/** Rules of a published port by whose family they are for (nftabler/port.go). */
function portRules(
  rules: NetworkRules,
  binding: PortBinding,
  hairpin: boolean,
): { readonly host: readonly Rule[]; readonly container: readonly Rule[] } {
  const { bridge, internal } = rules;
  const { protocol, address, port, hostIp, hostPort } = binding;
  const config = familyConfig(rules, address);
  if (internal || config === undefined) return { host: [], container: [] };
  const host: Rule[] = [];
  if (hostPort !== 0 && isLoopback4(hostIp)) {
    const to = `${addressWords(hostIp, "daddr")} ${protocol} dport ${hostPort}`;
    const rule = `iifname != "lo" ${to} counter drop comment "DROP REMOTE LOOPBACK"`;
    host.push({ chain: RAW, group: "middle", rule });
  }
  if (isProxied(binding)) return { host, container: [] };
  const container: Rule[] = [];
  if (hostPort !== 0) {
    const words = [
      hairpin ? "" : `iifname != "${bridge}"`,
      typeof address === "number" ? "" : "ip6 saddr != fe80::/10",
      isUnspecified(hostIp) ? "" : addressWords(hostIp, "daddr"),
      `${protocol} dport ${hostPort} counter dnat to ${formatEndpoint(address, port)} comment "DNAT"`,
    ];
    container.push({
      chain: PUBLISHED,
      group: "middle",
      rule: words.filter((word) => word !== "").join(" "),
    });
    if (hairpin) {
      const own = `${addressWords(address, "saddr")} ${addressWords(address, "daddr")}`;
      container.push({
        chain: `nat-postrouting-in__${bridge}`,
        group: "ports",
        rule: `${own} ${protocol} dport ${port} counter masquerade comment "MASQ TO OWN PORT"`,
      });
    }
  }
  if (!config.unprotected) {
    container.push({
      chain: `filter-forward-in__${bridge}`,
      group: "ports",
      rule: `${addressWords(address, "daddr")} ${protocol} dport ${port} counter accept`,
    });
  }
  return { host, container };
}

function addressWords(address: IpAddress, side: "saddr" | "daddr"): string {
  return `${typeof address === "number" ? "ip" : "ip6"} ${side} ${formatIp(address)}`;
}
