import type { PortRange } from "../calc/messages.ts";
import type { RuleMatch, Side, TableAction, TableChain, TableRule } from "./rule.ts";
import { ruleHashes } from "./rule-hash.ts";

/** Longest comment that the match takes (`XT_MAX_COMMENT_LEN` with its end). */
const MAX_COMMENT = 256;

/** A rule as Felix gives it to iptables-restore (`felix/iptables/renderer.go`). @param hash none is written where it is left out */
export function iptablesAppend(chain: string, rule: TableRule, hash?: string): string {
  return ["-A", chain, iptablesRule(rule, hash)].filter((part) => part !== "").join(" ");
}

/** The same without `-A CHAIN`. */
export function iptablesRule(rule: TableRule, hash?: string): string {
  return ruleText(rule, hash === undefined ? "" : `-m comment --comment "cali:${hash}"`);
}

/** A hash for each rule of a chain; each depends on the chain's name and all rules before it. */
export function iptablesHashes({ name, rules }: TableChain): string[] {
  // Where the hash will stand there is this word instead.
  return ruleHashes(
    name,
    rules.map((rule) => `-A ${name} ${ruleText(rule, "HASH")}`),
  );
}

function ruleText(rule: TableRule, hashComment: string): string {
  return [
    hashComment,
    ...(rule.comments ?? []).map((text) => `-m comment --comment "${escapeComment(text)}"`),
    ...(rule.matches ?? []).map(matchText),
    rule.action === undefined ? "" : actionText(rule.action),
  ]
    .filter((part) => part !== "")
    .join(" ");
}

/** iptables-restore has no way to quote everything, so that Felix replaces what might need it. */
export function escapeComment(text: string): string {
  return text.replaceAll(/[^\w @%+=:,./-]/g, "_").slice(0, MAX_COMMENT);
}

/** Go's `%#x`. */
export function hex(value: number): string {
  return `0x${(value >>> 0).toString(16)}`;
}

const SIDE: Readonly<Record<Side, { readonly set: string; readonly type: string }>> = {
  source: { set: "src", type: "--src-type" },
  destination: { set: "dst", type: "--dst-type" },
};

function matchText(match: RuleMatch): string {
  const not = "negated" in match && match.negated === true ? "! " : "";
  switch (match.match) {
    case "mark": {
      const value = match.value === 0 ? "0" : hex(match.value);
      return `-m mark ${not}--mark ${value}/${hex(match.mask)}`;
    }
    case "interface":
      return `--${match.direction}-interface ${match.name}${match.prefix === true ? "+" : ""}`;
    case "rpfilter-failed":
      return "-m rpfilter --invert --validmark";
    case "addrtype": {
      const limit = match.limitIfaceOut === true ? " --limit-iface-out" : "";
      return `-m addrtype ${not}${SIDE[match.side].type} ${match.type}${limit}`;
    }
    case "ctstate":
      return `-m conntrack ${not}--ctstate ${match.states}`;
    case "dnat":
      return `-m conntrack ${not}--ctstate DNAT`;
    case "protocol":
      return `${not}-p ${match.protocol}`;
    case "net":
      return `${not}--${match.side} ${match.net}`;
    case "ip-set":
      return `-m set ${not}--match-set ${match.set} ${SIDE[match.side].set}`;
    case "ip-port-set": {
      const { set } = SIDE[match.side];
      return `-m set ${not}--match-set ${match.set} ${set},${set}`;
    }
    case "ports":
      return `-m multiport ${not}--${match.side}-ports ${match.ports.map(portText).join()}`;
    case "port":
      return `--dport ${match.port}`;
    case "icmp": {
      const [module, option] =
        match.version === 4 ? ["icmp", "--icmp-type"] : ["icmp6", "--icmpv6-type"];
      const code = match.code === undefined ? "" : `/${match.code}`;
      return `-m ${module} ${not}${option} ${match.type}${code}`;
    }
    case "limit": {
      const burst = match.burst === 0 ? "" : ` --limit-burst ${match.burst}`;
      return `-m limit --limit ${match.rate}${burst}`;
    }
    case "arp-reply":
      throw new Error("iptables has no ARP");
    case "verdict-map":
      throw new Error("iptables has no verdict maps");
  }
}

function portText({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}:${last}`;
}

function actionText(action: TableAction): string {
  switch (action.action) {
    case "accept":
    case "drop":
    case "reject":
    case "return":
    case "notrack":
      return `--jump ${action.action.toUpperCase()}`;
    case "jump":
    case "goto":
      return `--${action.action} ${action.chain}`;
    case "set-mark":
      return `--jump MARK --set-mark ${hex(action.mark)}/${hex(action.mark)}`;
    case "clear-mark":
      return `--jump MARK --set-mark 0/${hex(action.mark)}`;
    case "set-masked-mark":
      return `--jump MARK --set-mark ${hex(action.mark)}/${hex(action.mask)}`;
    case "log":
      return `--jump LOG --log-prefix "${action.prefix}: " --log-level 5`;
    case "dnat":
      return `--jump DNAT --to-destination ${action.to}`;
    case "snat":
      return `--jump SNAT --to-source ${action.to} --random-fully`;
    case "masquerade": {
      const ports = action.toPorts === undefined ? "" : ` --to-ports ${action.toPorts}`;
      return `--jump MASQUERADE${ports} --random-fully`;
    }
    case "limit-packet-rate": {
      const mark = `${hex(action.mark)}/${hex(action.mark)}`;
      return `-m limit --limit ${action.rate}/sec --limit-burst ${action.burst} --jump MARK --set-mark ${mark}`;
    }
    case "limit-connections":
      return `-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m connlimit --connlimit-above ${action.above} --connlimit-mask 0 -j REJECT --reject-with tcp-reset`;
    case "dscp":
      return `--jump DSCP --set-dscp ${action.value}`;
  }
}
