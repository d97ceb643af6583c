import { TC_ACT_OK, type TcContext } from "@cnilab/linux";
import {
  ICMP_DEST_UNREACH,
  ICMP_FRAG_NEEDED,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_UDP,
  type IpPacket,
} from "@cnilab/net";
import { type NumericIdentity, RESERVED_IDENTITY } from "../../identity/numeric-identity.ts";
import type { CtTuple } from "../maps/conntrack-map.ts";
import {
  LPM_FULL_PREFIX_BITS,
  LPM_PROTO_PREFIX_BITS,
  type PolicyEntry,
  type PolicyMap,
  type PolicyStats,
  type PolicyStatsKey,
} from "../maps/policy-map.ts";
import type { BpfObject } from "./bpf-object.ts";
import { icmpCodeOf, icmpTypeOf } from "./conntrack.ts";
import type { ExtendedError } from "./drop.ts";
import {
  DROP_ENCAP_PROHIBITED,
  DROP_FRAG_NOSUPPORT,
  DROP_INVALID,
  DROP_POLICY,
  DROP_POLICY_AUTH_REQUIRED,
  DROP_POLICY_DENY,
} from "./drop-reason.ts";

// How specific the entry was that decided (`POLICY_MATCH_*`).
const POLICY_MATCH_NONE = 0;
const POLICY_MATCH_L3_ONLY = 1;
const POLICY_MATCH_L3_L4 = 2;
const POLICY_MATCH_L4_ONLY = 3;
export const POLICY_MATCH_ALL = 4;
const POLICY_MATCH_L3_PROTO = 5;
const POLICY_MATCH_PROTO_ONLY = 6;

/** What policy says of a packet. */
export class PolicyCheck implements ExtendedError {
  /** `TC_ACT_OK`, or a reason to drop it. */
  verdict: number = TC_ACT_OK;
  matchType: number = POLICY_MATCH_NONE;
  audited = false;
  /** A proxy's port; 0 for none. */
  proxyPort = 0;
  authType = 0;
  /** What decided; absent where nothing allows it. */
  entry: PolicyEntry | undefined = undefined;
  /** The extended error (`ext_err`): what authentication is asked for. */
  value = 0;
}

/** Whether a packet may come in (`policy_can_ingress4`, `policy_can_ingress6`). */
export function policyCanIngress(
  ctx: TcContext,
  obj: BpfObject,
  ip: IpPacket,
  tuple: CtTuple,
  srcId: NumericIdentity,
): PolicyCheck {
  const check = new PolicyCheck();
  const isUntrackedFragment = !obj.config.fragmentsTracking && ip.isFragment;
  check.verdict = canAccess(ctx, obj, ip, tuple, srcId, false, isUntrackedFragment, check);
  return settle(ctx, obj, check, false);
}

/** Whether it may go out (`policy_can_egress4`, `policy_can_egress6`). */
export function policyCanEgress(
  ctx: TcContext,
  obj: BpfObject,
  ip: IpPacket,
  tuple: CtTuple,
  srcId: NumericIdentity,
  dstId: NumericIdentity,
): PolicyCheck {
  const check = new PolicyCheck();
  const { tunnelPort } = obj.config;
  if (
    obj.haveEncap &&
    srcId !== RESERVED_IDENTITY.host &&
    tuple.nexthdr === IPPROTO_UDP &&
    tuple.dport === tunnelPort
  ) {
    check.verdict = DROP_ENCAP_PROHIBITED;
    return check;
  }
  check.verdict = canAccess(ctx, obj, ip, tuple, dstId, true, false, check);
  return settle(ctx, obj, check, true);
}

/** What is denied passes in audit mode; else the trace is told who denies it. */
function settle(ctx: TcContext, obj: BpfObject, check: PolicyCheck, egress: boolean): PolicyCheck {
  if (check.verdict >= TC_ACT_OK) return check;
  if (obj.policyAuditMode) {
    check.verdict = TC_ACT_OK;
    check.audited = true;
    return check;
  }
  const map = obj.policy as PolicyMap;
  const denier = check.entry?.origin ?? (egress ? map.egressDeniedBy : map.ingressDeniedBy);
  const side = egress ? "egress" : "ingress";
  const origin = denier && { ...denier, detail: side };
  if (ctx.network.overlooks?.({ location: map.name, text: side, origin }) === true) {
    check.verdict = TC_ACT_OK;
    return check;
  }
  ctx.dropOrigin = origin;
  return check;
}

/** Looks for the identity's entry and for that of any identity, and takes one (`__policy_can_access`). */
function canAccess(
  ctx: TcContext,
  obj: BpfObject,
  ip: IpPacket,
  tuple: CtTuple,
  remoteId: NumericIdentity,
  egress: boolean,
  isUntrackedFragment: boolean,
  check: PolicyCheck,
): number {
  const protocol = tuple.nexthdr;
  let { dport } = tuple;
  const { allowIcmpFragNeeded, icmpRules } = obj.config;
  if (protocol === IPPROTO_ICMP ? allowIcmpFragNeeded || icmpRules : icmpRules) {
    if (protocol === IPPROTO_ICMP || protocol === IPPROTO_ICMPV6) {
      const type = icmpTypeOf(ip);
      if (type === undefined) return DROP_INVALID;
      const isFragNeeded =
        protocol === IPPROTO_ICMP &&
        type === ICMP_DEST_UNREACH &&
        icmpCodeOf(ip) === ICMP_FRAG_NEEDED;
      if (allowIcmpFragNeeded && isFragNeeded) return TC_ACT_OK;
      if (icmpRules) dport = type;
    }
  }
  const map = obj.policy as PolicyMap;
  const key = {
    secLabel: remoteId,
    egress,
    protocol,
    dport,
    lpmPrefixLength: LPM_FULL_PREFIX_BITS,
  };
  const l3 = ctx.lookup(map, key);
  if (l3?.deny) return decide(ctx, obj, check, key, l3, undefined);
  const l4 = ctx.lookup(map, { ...key, secLabel: 0 });
  if (l4 !== undefined && (l3 === undefined || comesBefore(l4, l3))) {
    return decide(ctx, obj, check, { ...key, secLabel: 0 }, l4, l3);
  }
  if (l3 !== undefined) return decide(ctx, obj, check, key, l3, l4);
  return isUntrackedFragment ? DROP_FRAG_NOSUPPORT : DROP_POLICY;
}

/** Whether the entry of any identity counts, though the identity has one. */
function comesBefore(l4: PolicyEntry, l3: PolicyEntry): boolean {
  if (l4.deny) return true;
  if (l4.proxyPortPriority !== l3.proxyPortPriority) {
    return l4.proxyPortPriority > l3.proxyPortPriority;
  }
  return l4.lpmPrefixLength > l3.lpmPrefixLength;
}

/** `__policy_check`, with what it is counted and told as. */
function decide(
  ctx: TcContext,
  obj: BpfObject,
  check: PolicyCheck,
  key: Omit<PolicyStatsKey, "endpointId">,
  entry: PolicyEntry,
  other: PolicyEntry | undefined,
): number {
  const { lpmPrefixLength } = entry;
  if (obj.config.policyAccounting) account(ctx, obj, key, lpmPrefixLength);
  check.entry = entry;
  check.matchType = key.secLabel === 0 ? l4Match(lpmPrefixLength) : l3Match(lpmPrefixLength);
  if (entry.deny) return DROP_POLICY_DENY;
  check.proxyPort = entry.proxyPort;
  // Of two entries the wider one's authentication holds for the narrower, unless that has its own.
  const authType =
    other !== undefined && !entry.hasExplicitAuthType && other.authType > entry.authType
      ? other.authType
      : entry.authType;
  if (authType === 0) return TC_ACT_OK;
  check.value = authType;
  return DROP_POLICY_AUTH_REQUIRED;
}

function l3Match(prefix: number): number {
  if (prefix > LPM_PROTO_PREFIX_BITS) return POLICY_MATCH_L3_L4;
  return prefix > 0 ? POLICY_MATCH_L3_PROTO : POLICY_MATCH_L3_ONLY;
}

function l4Match(prefix: number): number {
  if (prefix > LPM_PROTO_PREFIX_BITS) return POLICY_MATCH_L4_ONLY;
  return prefix > 0 ? POLICY_MATCH_PROTO_ONLY : POLICY_MATCH_ALL;
}

/** `__policy_account`: under the entry's own key, which a look-up does not give. No step of a trace. */
function account(
  ctx: TcContext,
  { maps, eventSource }: BpfObject,
  key: Omit<PolicyStatsKey, "endpointId">,
  lpmPrefixLength: number,
): void {
  const portBits = Math.max(0, lpmPrefixLength - LPM_PROTO_PREFIX_BITS);
  const statsKey: PolicyStatsKey = {
    endpointId: eventSource,
    secLabel: key.secLabel,
    egress: key.egress,
    protocol: lpmPrefixLength < LPM_PROTO_PREFIX_BITS ? 0 : key.protocol,
    dport: key.dport & (0xffff << (16 - portBits)) & 0xffff,
    lpmPrefixLength,
  };
  const bytes = ctx.length;
  let stats: PolicyStats | undefined = maps.policyStats.find(statsKey);
  if (stats === undefined) {
    stats = { packets: 0, bytes: 0 };
    maps.policyStats.write(statsKey, stats);
  }
  const counted = stats;
  counted.packets++;
  counted.bytes += bytes;
  if (ctx.network.recording === undefined) return;
  ctx.effect({
    repeat(packets) {
      counted.packets += packets;
      counted.bytes += packets * bytes;
    },
  });
}
