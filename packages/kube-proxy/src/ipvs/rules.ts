import type { IpFamily } from "@cnilab/net";
import type { LocalTraffic } from "../local-traffic.ts";
import { type IpSetName, type IpSets, kernelSetName, setComment } from "./ip-sets.ts";
import type { ForbiddenPort } from "./port-program.ts";

/** Jumps from built-in chains; each is put first in its chain, in this order (`iptablesJumpChain`). */
export const IPVS_JUMPS: readonly {
  readonly table: "nat" | "filter";
  readonly chain: string;
  readonly rule: string;
}[] = [
  jump("nat", "OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
  jump("nat", "PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
  jump("nat", "POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
  jump("filter", "FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
  jump("filter", "INPUT", "KUBE-NODE-PORT", "kubernetes health check rules"),
  jump("filter", "INPUT", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
  jump("filter", "FORWARD", "KUBE-PROXY-FIREWALL", "kube-proxy firewall rules"),
  jump("filter", "INPUT", "KUBE-IPVS-FILTER", "kubernetes ipvs access filter"),
  jump("filter", "OUTPUT", "KUBE-IPVS-OUT-FILTER", "kubernetes ipvs access filter"),
];

function jump(table: "nat" | "filter", chain: string, to: string, comment: string) {
  return { table, chain, rule: `-m comment --comment "${comment}" -j ${to}` };
}

const NAT_CHAINS = [
  "KUBE-SERVICES",
  "KUBE-POSTROUTING",
  "KUBE-NODE-PORT",
  "KUBE-LOAD-BALANCER",
  "KUBE-MARK-MASQ",
];
const FILTER_CHAINS = [
  "KUBE-FORWARD",
  "KUBE-NODE-PORT",
  "KUBE-PROXY-FIREWALL",
  "KUBE-SOURCE-RANGES-FIREWALL",
  "KUBE-IPVS-FILTER",
  "KUBE-IPVS-OUT-FILTER",
];

/** Rules that are there while a set has entries (`ipsetWithIptablesChain`). Local ones stand before the others. */
const SET_RULES: readonly {
  readonly set: IpSetName;
  readonly table: "nat" | "filter";
  readonly chain: string;
  readonly target: string;
  readonly fields: string;
  readonly protocol?: string;
}[] = [
  {
    set: "KUBE-LOOP-BACK",
    table: "nat",
    chain: "KUBE-POSTROUTING",
    target: "MASQUERADE",
    fields: "dst,dst,src",
  },
  {
    set: "KUBE-LOAD-BALANCER",
    table: "nat",
    chain: "KUBE-SERVICES",
    target: "KUBE-LOAD-BALANCER",
    fields: "dst,dst",
  },
  {
    set: "KUBE-LOAD-BALANCER-LOCAL",
    table: "nat",
    chain: "KUBE-LOAD-BALANCER",
    target: "RETURN",
    fields: "dst,dst",
  },
  ...nodePortRules("KUBE-NODE-PORT-LOCAL-TCP", "KUBE-NODE-PORT-TCP", "tcp", "dst"),
  ...nodePortRules("KUBE-NODE-PORT-LOCAL-UDP", "KUBE-NODE-PORT-UDP", "udp", "dst"),
  ...nodePortRules("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "KUBE-NODE-PORT-SCTP-HASH", "sctp", "dst,dst"),
  {
    set: "KUBE-LOAD-BALANCER-FW",
    table: "filter",
    chain: "KUBE-PROXY-FIREWALL",
    target: "KUBE-SOURCE-RANGES-FIREWALL",
    fields: "dst,dst",
  },
  {
    set: "KUBE-LOAD-BALANCER-SOURCE-CIDR",
    table: "filter",
    chain: "KUBE-SOURCE-RANGES-FIREWALL",
    target: "RETURN",
    fields: "dst,dst,src",
  },
  {
    set: "KUBE-LOAD-BALANCER-SOURCE-IP",
    table: "filter",
    chain: "KUBE-SOURCE-RANGES-FIREWALL",
    target: "RETURN",
    fields: "dst,dst,src",
  },
];

function nodePortRules(local: IpSetName, all: IpSetName, protocol: string, fields: string) {
  const rule = { table: "nat", chain: "KUBE-NODE-PORT", fields, protocol } as const;
  return [
    { ...rule, set: local, target: "RETURN" },
    { ...rule, set: all, target: "KUBE-MARK-MASQ" },
  ];
}

/** What the rules depend on. */
export interface IpvsRuleOptions {
  readonly family: IpFamily;
  readonly sets: IpSets;
  readonly masqueradeAll: boolean;
  readonly masqueradeBit: number;
  readonly localTraffic: LocalTraffic | undefined;
  readonly forbidden: readonly ForbiddenPort[];
}

/** All chains of IPVS mode as iptables-restore takes them (pkg/proxy/ipvs/proxier.go `writeIptablesRules`). */
export function ipvsRules(options: IpvsRuleOptions): string {
  const writer = new IpvsRuleWriter(options);
  const { nat, filter } = writer.write();
  const table = (name: string, chains: readonly string[], rules: readonly string[]) =>
    [`*${name}`, ...chains.map((c) => `:${c} - [0:0]`), ...rules, "COMMIT", ""].join("\n");
  return table("nat", NAT_CHAINS, nat) + table("filter", FILTER_CHAINS, filter);
}

class IpvsRuleWriter {
  readonly #options: IpvsRuleOptions;
  readonly #mark: string;
  readonly nat: string[] = [];
  readonly filter: string[] = [];

  constructor(options: IpvsRuleOptions) {
    this.#options = options;
    this.#mark = `0x${(2 ** options.masqueradeBit).toString(16)}`;
  }

  write(): this {
    const loopback = this.#options.family === 4 ? "127.0.0.0/8" : "::1/128";
    this.nat.push(`-A KUBE-SERVICES -s ${loopback} -j RETURN`);
    this.#ofSets();
    this.#clusterIps();
    this.#externalIps("KUBE-EXTERNAL-IP", true);
    this.#externalIps("KUBE-EXTERNAL-IP-LOCAL", false);
    this.nat.push("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT");
    this.nat.push("-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ");
    this.filter.push("-A KUBE-SOURCE-RANGES-FIREWALL -j DROP");
    this.#forbidden();
    this.#accept("KUBE-CLUSTER-IP");
    this.#accept("KUBE-LOAD-BALANCER");
    this.#forward();
    this.#healthChecks();
    this.#accessFilter();
    this.#masquerade();
    return this;
  }

  #ofSets(): void {
    for (const { set, table, chain, target, fields, protocol } of SET_RULES) {
      if (this.#options.sets.isEmpty(set)) continue;
      const ofProtocol = protocol === undefined ? "" : `-p ${protocol} `;
      const rule = `-A ${chain} ${ofProtocol}${comment(set)} ${this.#match(set, fields)} -j ${target}`;
      this[table].push(rule);
    }
  }

  /** Who needs masquerading of those that call a cluster IP. */
  #clusterIps(): void {
    const set = "KUBE-CLUSTER-IP";
    const { sets, masqueradeAll, localTraffic } = this.#options;
    if (sets.isEmpty(set)) return;
    const who = masqueradeAll
      ? ""
      : localTraffic === undefined
        ? ""
        : ` ${localTraffic.ifNotLocal}`;
    // Nothing else tells the node's own calls: they come from the address that they go to.
    const fields = masqueradeAll || localTraffic !== undefined ? "dst,dst" : "src,dst";
    this.nat.push(
      `-A KUBE-SERVICES ${comment(set)} ${this.#match(set, fields)}${who} -j KUBE-MARK-MASQ`,
    );
  }

  /** Only what comes from outside, or goes to an address of the node's own, is let pass to a service here. */
  #externalIps(set: IpSetName, masquerade: boolean): void {
    if (this.#options.sets.isEmpty(set)) return;
    const match = `-A KUBE-SERVICES ${comment(set)} ${this.#match(set, "dst,dst")}`;
    if (masquerade) this.nat.push(`${match} -j KUBE-MARK-MASQ`);
    this.nat.push(
      `${match} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT`,
      `${match} -m addrtype --dst-type LOCAL -j ACCEPT`,
    );
  }

  #forbidden(): void {
    for (const { ip, protocol, port } of this.#options.forbidden) {
      const service = `-m ipvs --vaddr ${ip} --vproto ${protocol} --vport ${port}`;
      this.filter.push(`-A KUBE-IPVS-OUT-FILTER -s ${ip} ${service} -j DROP`);
    }
  }

  /** Nobody else's rules shall translate what IPVS takes care of. */
  #accept(set: IpSetName): void {
    if (this.#options.sets.isEmpty(set)) return;
    this.nat.push(`-A KUBE-SERVICES ${this.#match(set, "dst,dst")} -j ACCEPT`);
  }

  #forward(): void {
    const rules = `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding`;
    this.filter.push(
      `${rules} rules" -m mark --mark ${this.#mark}/${this.#mark} -j ACCEPT`,
      `${rules} conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
    );
  }

  #healthChecks(): void {
    const set = "KUBE-HEALTH-CHECK-NODE-PORT";
    this.filter.push(`-A KUBE-NODE-PORT ${comment(set)} ${this.#match(set, "dst")} -j ACCEPT`);
  }

  /** Through a service's address nobody gets at other ports of the node, whose address it is now. */
  #accessFilter(): void {
    const lets: readonly (readonly [IpSetName, string])[] = [
      ["KUBE-LOAD-BALANCER", "dst,dst"],
      ["KUBE-CLUSTER-IP", "dst,dst"],
      ["KUBE-EXTERNAL-IP", "dst,dst"],
      ["KUBE-EXTERNAL-IP-LOCAL", "dst,dst"],
      ["KUBE-HEALTH-CHECK-NODE-PORT", "dst"],
    ];
    for (const [set, fields] of lets) {
      this.filter.push(`-A KUBE-IPVS-FILTER ${this.#match(set, fields)} -j RETURN`);
    }
    const bound = this.#match("KUBE-IPVS-IPS", "dst");
    this.filter.push(`-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW ${bound} -j REJECT`);
  }

  #masquerade(): void {
    const mark = this.#mark;
    const traffic = `-m comment --comment "kubernetes service traffic requiring SNAT"`;
    this.nat.push(
      `-A KUBE-POSTROUTING -m mark ! --mark ${mark}/${mark} -j RETURN`,
      `-A KUBE-POSTROUTING -j MARK --xor-mark ${mark}`,
      `-A KUBE-POSTROUTING ${traffic} -j MASQUERADE --random-fully`,
      `-A KUBE-MARK-MASQ -j MARK --or-mark ${mark}`,
    );
  }

  #match(set: IpSetName, fields: string): string {
    return `-m set --match-set ${kernelSetName(set, this.#options.family)} ${fields}`;
  }
}

function comment(set: IpSetName): string {
  return `-m comment --comment "${setComment(set)}"`;
}
