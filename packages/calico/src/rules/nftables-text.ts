import type { IpFamily } from "@cnilab/net";
import type { PortRange } from "../calc/messages.ts";
import { escapeComment, hex } from "./iptables-text.ts";
import type { RuleMatch, Side, TableAction, TableChain, TableRule } from "./rule.ts";
import { ruleHashes } from "./rule-hash.ts";

/** Longest comment that nft takes (knftables `CommentLengthMax`). */
const MAX_COMMENT = 128;

/** A rule as Felix gives it to nft, and its comment (`felix/nftables/renderer.go`). */
export interface NftablesRule {
  readonly text: string;
  readonly comment: string | undefined;
}

/**
 * @param table where one of the four is named, chains and maps of the rule get its name in front: all share one table of nftables
 * @param hash none is written where it is left out
 */
export function nftablesRule(
  rule: TableRule,
  family: IpFamily,
  table?: string,
  hash?: string,
): NftablesRule {
  return { text: ruleText(rule, family, table), comment: commentOf(rule, hash) };
}

/** A hash for each rule of a chain of one of the four tables. */
export function nftablesHashes(
  { name, rules }: TableChain,
  family: IpFamily,
  table: string,
): string[] {
  return ruleHashes(
    inTable(table, name),
    rules.map((rule) => ruleText(rule, family, table)),
  );
}

/** The name of a chain or a map of one of the four tables. */
export function inTable(table: string | undefined, name: string): string {
  return table === undefined ? name : `${table}-${name}`;
}

/** nft takes no colons in a set's name (`felix/nftables/ipsets.go` LegalizeSetName). */
export function nftablesSetName(name: string): string {
  return name.replaceAll(":", "-");
}

function ruleText(rule: TableRule, family: IpFamily, table: string | undefined): string {
  const version = family === 4 ? "ip" : "ip6";
  const transport = transportOf(rule.matches ?? []);
  const parts = (rule.matches ?? []).map((match) => matchText(match, version, transport, table));
  if (rule.action !== undefined) parts.push("counter", actionText(rule.action, version, table));
  const text = parts.join(" ");
  // An empty rule is no rule for nft.
  return text === "" ? "continue" : text;
}

function commentOf({ comments = [] }: TableRule, hash: string | undefined): string | undefined {
  const parts = hash === undefined ? [] : [`cali:${hash};`];
  if (comments.length > 0) {
    const room = Math.floor((MAX_COMMENT - parts.join(" ").length) / comments.length);
    for (const text of comments) parts.push(escapeComment(text).slice(0, room));
  }
  const text = parts.join(" ").slice(0, MAX_COMMENT);
  return text === "" ? undefined : text;
}

const TRANSPORTS: Readonly<Record<string, string>> = { "6": "tcp", "17": "udp", "132": "sctp" };

/** nft reads ports out of the header of the protocol that the rule has named. */
function transportOf(matches: readonly RuleMatch[]): string {
  for (const match of matches) {
    if (match.match !== "protocol" || match.negated === true) continue;
    return TRANSPORTS[match.protocol] ?? String(match.protocol);
  }
  return "th";
}

const ADDRESS: Readonly<Record<Side, string>> = { source: "saddr", destination: "daddr" };
const PORT: Readonly<Record<Side, string>> = { source: "sport", destination: "dport" };

function matchText(
  match: RuleMatch,
  version: string,
  transport: string,
  table: string | undefined,
): string {
  const not = "negated" in match && match.negated === true ? "!= " : "";
  switch (match.match) {
    case "mark": {
      const operator = match.negated === true ? "!=" : "==";
      const value = match.value === 0 ? "0" : hex(match.value);
      return `meta mark & ${hex(match.mask)} ${operator} ${value}`;
    }
    case "interface": {
      const name = `${match.name}${match.prefix === true ? "*" : ""}`;
      return `${match.direction === "in" ? "iifname" : "oifname"} ${name}`;
    }
    case "rpfilter-failed":
      return "fib saddr . mark . iif oif 0";
    case "addrtype": {
      const device = match.limitIfaceOut === true ? " . oif" : "";
      return `fib ${ADDRESS[match.side]}${device} type ${not}${match.type.toLowerCase()}`;
    }
    case "ctstate":
      return `ct state ${not}${match.states.toLowerCase()}`;
    case "dnat":
      return `ct status ${not}dnat`;
    case "protocol":
      return `meta l4proto ${not}${match.protocol}`;
    case "net":
      return `${version} ${ADDRESS[match.side]} ${not}${match.net}`;
    case "ip-set":
      return `${version} ${ADDRESS[match.side]} ${not}@${nftablesSetName(match.set)}`;
    case "ip-port-set":
      return `${version} ${ADDRESS[match.side]} . meta l4proto . th ${PORT[match.side]} ${not}@${nftablesSetName(match.set)}`;
    case "ports":
      return `${transport} ${PORT[match.side]} ${not}{ ${match.ports.map(portText).join(", ")} }`;
    case "port":
      return `${transport} dport ${match.port}`;
    case "icmp": {
      const code = match.code === undefined ? "" : ` code ${not}${match.code}`;
      return `${match.version === 4 ? "icmp" : "icmpv6"} type ${not}${match.type}${code}`;
    }
    case "limit": {
      const burst = match.burst === 0 ? "" : ` burst ${match.burst} packets`;
      return `limit rate ${match.rate}${burst}`;
    }
    case "arp-reply":
      return `arp operation reply arp saddr ip ${match.from}`;
    case "verdict-map":
      return `${match.direction === "in" ? "iifname" : "oifname"} vmap @${inTable(table, nftablesSetName(match.map))}`;
  }
}

function portText({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

function actionText(action: TableAction, version: string, table: string | undefined): string {
  switch (action.action) {
    case "accept":
    case "drop":
    case "reject":
    case "return":
    case "notrack":
      return action.action;
    case "jump":
    case "goto":
      return `${action.action} ${inTable(table, action.chain)}`;
    case "set-mark":
      return `meta mark set mark or ${hex(action.mark)}`;
    case "clear-mark":
      return `meta mark set mark & ${hex(~action.mark)}`;
    case "set-masked-mark":
      return `meta mark set mark & ${hex(~action.mask)} ^ ${hex(action.mark)}`;
    case "log":
      return `log prefix "${action.prefix}: " level info`;
    case "dnat":
      return `dnat to ${action.to}`;
    case "snat":
      return `snat to ${action.to} fully-random`;
    case "masquerade":
      return `masquerade${action.toPorts === undefined ? "" : ` to :${action.toPorts}`} fully-random`;
    case "limit-packet-rate":
      return `limit rate over ${action.rate}/second burst ${action.burst} packets drop`;
    case "limit-connections":
      return `ct count over ${action.above} reject with tcp reset`;
    case "dscp":
      return `${version} dscp set ${action.value}`;
  }
}
