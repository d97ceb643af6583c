import type { Iptables, NetNamespace } from "@cnilab/linux";
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

const DOCKER = "DOCKER";
const FORWARD = "DOCKER-FORWARD";
const BRIDGE = "DOCKER-BRIDGE";
const CT = "DOCKER-CT";
const INTERNAL = "DOCKER-INTERNAL";
const USER = "DOCKER-USER";
const ISOLATION = ["DOCKER-ISOLATION-STAGE-1", "DOCKER-ISOLATION-STAGE-2"];

/** A rule and where it goes: at the end of its chain, or at the top. */
interface Rule {
  readonly table: "filter" | "nat" | "raw";
  readonly chain: string;
  readonly rule: string;
  readonly top?: boolean;
}

/** The `iptables` backend (drivers/bridge/internal/iptabler). */
export class IptablesFirewaller implements Firewaller {
  readonly #config: FirewallerConfig;
  readonly #netns: NetNamespace;

  constructor(netns: NetNamespace, config: FirewallerConfig) {
    this.#netns = netns;
    this.#config = config;
    for (const family of config.families) this.#setUp(netns.iptables(family), family);
  }

  addNetwork(rules: NetworkRules): NetworkFirewall {
    const own: (Rule & { readonly family: IpFamily })[] = [];
    for (const family of this.#config.families) {
      const config = family === 4 ? rules.ipv4 : rules.ipv6;
      if (config === undefined) continue;
      own.push(
        ...networkRules(rules, config, family, this.#config.hairpin).map((rule) => ({
          ...rule,
          family,
        })),
      );
    }
    const remove = () => {
      for (const rule of own) this.#remove(rule.family, rule);
    };
    try {
      for (const rule of own) this.#add(rule.family, rule);
    } catch (error) {
      remove();
      throw error;
    }
    const change = (address: IpAddress, changed: readonly Rule[], add: boolean) => {
      const family = typeof address === "number" ? 4 : 6;
      if (!this.#config.families.includes(family)) return;
      for (const rule of changed) {
        if (add) this.#add(family, rule);
        else this.#remove(family, rule);
      }
    };
    const port = (binding: PortBinding, add: boolean) => {
      const found = portRules(rules, binding, this.#config.hairpin);
      change(binding.hostIp, found.host, add);
      change(binding.address, found.container, add);
    };
    const endpoint = (address: IpAddress, add: boolean) => {
      change(address, endpointRules(rules, address, this.#config), add);
    };
    return {
      addEndpoint: (address) => endpoint(address, true),
      removeEndpoint: (address) => endpoint(address, false),
      addPort: (binding) => port(binding, true),
      removePort: (binding) => port(binding, false),
      remove,
    };
  }

  /** Chains of an earlier run go; then come the new ones, and jumps to them. */
  #setUp(iptables: Iptables, family: IpFamily): void {
    for (const chain of [FORWARD, BRIDGE, DOCKER, CT, INTERNAL, ...ISOLATION]) {
      if (iptables.hasChain("filter", chain)) iptables.flush("filter", chain);
    }
    if (iptables.hasChain("nat", DOCKER)) iptables.flush("nat", DOCKER);
    for (const chain of [DOCKER, FORWARD, BRIDGE, CT, INTERNAL]) {
      if (!iptables.hasChain("filter", chain)) iptables.newChain("filter", chain);
    }
    if (!iptables.hasChain("nat", DOCKER)) iptables.newChain("nat", DOCKER);
    const local = `-m addrtype --dst-type LOCAL -j ${DOCKER}`;
    const notLoopback = this.#config.hairpin
      ? ""
      : `! --dst ${family === 4 ? "127.0.0.0/8" : "::1/128"} `;
    this.#add(family, { table: "nat", chain: "PREROUTING", rule: local });
    this.#add(family, { table: "nat", chain: "OUTPUT", rule: `${notLoopback}${local}` });
    ensureJump(iptables, "FORWARD", FORWARD);
    for (const chain of [BRIDGE, INTERNAL, CT]) ensureJump(iptables, FORWARD, chain);
    // Its rules are the administrator's: it stays as it is.
    if (!iptables.hasChain("filter", USER)) iptables.newChain("filter", USER);
    ensureJump(iptables, "FORWARD", USER);
  }

  #add(family: IpFamily, { table, chain, rule, top }: Rule): void {
    const iptables = this.#netns.iptables(family);
    if (iptables.check(table, chain, rule)) return;
    if (top === true) iptables.insert(table, chain, rule);
    else iptables.append(table, chain, rule);
  }

  #remove(family: IpFamily, { table, chain, rule }: Rule): void {
    const iptables = this.#netns.iptables(family);
    if (iptables.check(table, chain, rule)) iptables.delete(table, chain, rule);
  }
}

/** A jump at the top of a chain, once. */
function ensureJump(iptables: Iptables, from: string, to: string): void {
  const rule = `-j ${to}`;
  if (iptables.check("filter", from, rule)) iptables.delete("filter", from, rule);
  iptables.insert("filter", from, rule);
}

/** What a network has from its beginning (iptabler/network.go), in the order in which it is programmed. */
function networkRules(
  { bridge, internal, icc, masquerade }: NetworkRules,
  { prefix, hostIp, routed, unprotected }: FamilyConfig,
  family: IpFamily,
  hairpin: boolean,
): readonly Rule[] {
  const filter = (chain: string, rule: string, top = false): Rule => ({
    table: "filter",
    chain,
    rule,
    top,
  });
  const within = `-i ${bridge} -o ${bridge}`;
  if (internal) {
    // Neighbour discovery of IPv6 stays within the bridge, whatever its addresses.
    const [into, out] =
      family === 4
        ? [`-i ${bridge}`, `-o ${bridge}`]
        : [`-i ${bridge} ! -o ${bridge}`, `! -i ${bridge} -o ${bridge}`];
    return [
      filter(INTERNAL, `${into} ! -d ${prefix} -j DROP`, true),
      filter(INTERNAL, `${out} ! -s ${prefix} -j DROP`, true),
      filter(FORWARD, `${within} -j ${icc ? "ACCEPT" : "DROP"}`),
    ];
  }
  const source = hostIp === undefined ? "MASQUERADE" : `SNAT --to-source ${formatIp(hostIp)}`;
  const rules: Rule[] = [];
  if (masquerade && !routed) {
    const rule = `-s ${prefix} ! -o ${bridge} -j ${source}`;
    rules.push({ table: "nat", chain: "POSTROUTING", rule, top: true });
  }
  if (hairpin) {
    const rule = `-m addrtype --src-type LOCAL -o ${bridge} -j ${source}`;
    rules.push({ table: "nat", chain: "POSTROUTING", rule, top: true });
  }
  if (!icc) rules.push(filter(FORWARD, `${within} -j DROP`));
  if (routed) {
    rules.push(filter(DOCKER, `-o ${bridge} -p ${family === 4 ? "icmp" : "icmpv6"} -j ACCEPT`));
  }
  rules.push(
    filter(FORWARD, `-i ${bridge} ${icc ? "" : `! -o ${bridge} `}-j ACCEPT`),
    filter(DOCKER, `! -i ${bridge} -o ${bridge} -j ${unprotected ? "ACCEPT" : "DROP"}`),
    filter(CT, `-o ${bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`),
    filter(BRIDGE, `-o ${bridge} -j ${DOCKER}`),
  );
  return rules;
}

/** Nobody outside reaches a container by its own address, published or not (iptabler/endpoint.go). */
function endpointRules(
  rules: NetworkRules,
  address: IpAddress,
  { allowDirectRouting }: FirewallerConfig,
): readonly Rule[] {
  const config = familyConfig(rules, address);
  if (config === undefined || rules.internal || config.unprotected || config.routed) return [];
  if (allowDirectRouting) return [];
  const raw = (rule: string): Rule => ({ table: "raw", chain: "PREROUTING", rule });
  const to = `-d ${formatIp(address)}`;
  return [
    ...rules.trustedHostInterfaces.map((device) => raw(`${to} -i ${device} -j ACCEPT`)),
    raw(`${to} ! -i ${rules.bridge} -j DROP`),
  ];
}

/** Rules of a published port by whose family they are for (iptabler/port.go). */
function portRules(
  rules: NetworkRules,
  binding: PortBinding,
  hairpin: boolean,
): { readonly host: readonly Rule[]; readonly container: readonly Rule[] } {
  const { bridge, internal } = rules;
  const { protocol, address, port, hostIp, hostPort } = binding;
  const config = familyConfig(rules, address);
  if (internal || config === undefined) return { host: [], container: [] };
  const of = `-p ${protocol}`;
  const host: Rule[] = [];
  if (hostPort !== 0 && isLoopback4(hostIp)) {
    const rule = `${of} -d ${formatIp(hostIp)} --dport ${hostPort} ! -i lo -j DROP`;
    host.push({ table: "raw", chain: "PREROUTING", rule });
  }
  if (isProxied(binding)) return { host, container: [] };
  const container: Rule[] = [];
  if (hostPort !== 0) {
    const any = isUnspecified(hostIp) ? "" : `-d ${formatIp(hostIp)} `;
    const from = hairpin ? "" : ` ! -i ${bridge}`;
    const notLinkLocal = typeof address === "number" ? "" : " ! -s fe80::/10";
    const to = formatEndpoint(address, port);
    container.push({
      table: "nat",
      chain: DOCKER,
      rule: `${of} ${any}--dport ${hostPort} -j DNAT --to-destination ${to}${from}${notLinkLocal}`,
    });
    if (hairpin) {
      const own = formatIp(address);
      container.push({
        table: "nat",
        chain: "POSTROUTING",
        rule: `${of} -s ${own} -d ${own} --dport ${port} -j MASQUERADE`,
      });
    }
  }
  if (!config.unprotected) {
    container.push({
      table: "filter",
      chain: DOCKER,
      rule: `! -i ${bridge} -o ${bridge} ${of} -d ${formatIp(address)} --dport ${port} -j ACCEPT`,
      top: true,
    });
  }
  return { host, container };
}
