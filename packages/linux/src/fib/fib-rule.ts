import type { IpAddress, IpPacket, Prefix } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";

/** What routing asks for: the fields of `struct flowi4` and `flowi6` that rules and tables look at. */
export interface Flow {
  readonly dst: IpAddress;
  /** Unspecified while it is still to be chosen. */
  readonly src: IpAddress | undefined;
  /** Device it came in by; `undefined` for packets of this machine's own (`iif lo`). */
  readonly iif: NetDevice | undefined;
  /** Device it must leave by. */
  readonly oif: NetDevice | undefined;
  /** It should leave by {@link oif}, but need not (IPv6 without `RT6_LOOKUP_F_IFACE`). */
  readonly oifPreferred?: boolean;
  readonly mark: number;
  readonly tos: number;
  readonly protocol: number;
  readonly srcPort: number;
  readonly dstPort: number;
  /** What came in, or what an error of this machine is about: it chooses among nexthops, not the fields above. */
  readonly packet?: IpPacket | undefined;
}

export type FibRuleAction =
  | { readonly table: number }
  | { readonly goto: number }
  | { readonly type: "blackhole" | "unreachable" | "prohibit" | "nop" };

/** One rule of the routing policy database (`ip rule`). Immutable. */
export interface FibRule {
  /** Rules are asked in ascending order. */
  readonly priority: number;
  readonly not?: boolean;
  readonly from?: Prefix;
  readonly to?: Prefix;
  readonly iif?: string;
  readonly oif?: string;
  readonly fwmark?: { readonly value: number; readonly mask: number };
  readonly tos?: number;
  readonly ipProtocol?: number;
  readonly sport?: { readonly first: number; readonly last: number };
  readonly dport?: { readonly first: number; readonly last: number };
  /** Results with a prefix of this length or shorter do not count. */
  readonly suppressPrefixLength?: number;
  readonly action: FibRuleAction;
}

export function ruleMatches(rule: FibRule, flow: Flow): boolean {
  return matches(rule, flow) !== (rule.not ?? false);
}

function matches(rule: FibRule, flow: Flow): boolean {
  if (rule.fwmark !== undefined && (flow.mark & rule.fwmark.mask) >>> 0 !== rule.fwmark.value) {
    return false;
  }
  // A source still to be chosen is 0.0.0.0, which only a default prefix holds.
  if (rule.from !== undefined && rule.from.length > 0) {
    if (flow.src === undefined || !rule.from.contains(flow.src)) return false;
  }
  if (rule.to !== undefined && !rule.to.contains(flow.dst)) return false;
  if (rule.iif !== undefined && rule.iif !== (flow.iif?.name ?? "lo")) return false;
  if (rule.oif !== undefined && rule.oif !== flow.oif?.name) return false;
  if (rule.tos !== undefined && rule.tos !== flow.tos) return false;
  if (rule.ipProtocol !== undefined && rule.ipProtocol !== flow.protocol) return false;
  if (rule.sport !== undefined && !inRange(flow.srcPort, rule.sport)) return false;
  if (rule.dport !== undefined && !inRange(flow.dstPort, rule.dport)) return false;
  return true;
}

function inRange(port: number, { first, last }: { first: number; last: number }): boolean {
  return port >= first && port <= last;
}
