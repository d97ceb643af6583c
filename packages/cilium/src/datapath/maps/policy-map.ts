import type { Origin } from "@cnilab/core";
import { BpfLpmTrie, BpfLruHash, type BpfMapText, type Kernel, type LpmKey } from "@cnilab/linux";
import { protocolText } from "./map-key.ts";

/** Whom an entry of an endpoint's policy is for (`struct policy_key`). Numbers are as on the wire, 0 is any. */
export interface PolicyKey {
  readonly secLabel: number;
  readonly egress: boolean;
  readonly protocol: number;
  /** The first one, or the type of an ICMP message. */
  readonly dport: number;
  /** How many bits of protocol and port count: 0, 8, or 8 and those of the port. */
  readonly lpmPrefixLength: number;
}

/** What becomes of it (`struct policy_entry`). */
export interface PolicyEntry {
  readonly deny: boolean;
  /** 0 where it goes to no proxy. */
  readonly proxyPort: number;
  readonly proxyPortPriority: number;
  readonly authType: number;
  readonly hasExplicitAuthType: boolean;
  /** Of its key, as what a look-up finds does not say. */
  readonly lpmPrefixLength: number;
  /** The policy that it comes from. */
  readonly origin?: Origin | undefined;
}

/** Identity and direction always count. */
export const POLICY_STATIC_PREFIX = 40;
export const LPM_PROTO_PREFIX_BITS = 8;
export const LPM_FULL_PREFIX_BITS = 24;

export function encodePolicyKey(key: PolicyKey): LpmKey {
  const rest = (Number(key.egress) << 31) | (key.protocol << 16) | key.dport;
  return {
    prefixLength: POLICY_STATIC_PREFIX + key.lpmPrefixLength,
    words: [key.secLabel, rest >>> 0],
  };
}

/** As in `Ingress: 80/TCP` with the identity before it. */
export function policyKeyText(key: PolicyKey): string {
  const direction = key.egress ? "Egress" : "Ingress";
  if (key.lpmPrefixLength === 0) return `${direction}: ${key.secLabel} ANY`;
  const portBits = key.lpmPrefixLength - LPM_PROTO_PREFIX_BITS;
  const last = key.dport + 2 ** (16 - portBits) - 1;
  const ports = portBits === 0 ? "0" : last === key.dport ? `${last}` : `${key.dport}-${last}`;
  return `${direction}: ${key.secLabel} ${ports}/${protocolText(key.protocol)}`;
}

/** An endpoint's own policy. */
export class PolicyMap extends BpfLpmTrie<PolicyKey, PolicyEntry> {
  /**
   * Who has the endpoint deny what no entry allows, where there is somebody: a trace names it. Programs know nothing of it.
   */
  ingressDeniedBy: Origin | undefined = undefined;
  egressDeniedBy: Origin | undefined = undefined;
  /**
   * Which ways policy is enforced, 1 in and 2 out: of others no verdicts are told (`policy_verdict_log_filter`). There it is
   * compiled into the endpoint's programs, which are loaded anew when it changes.
   */
  verdictLogFilter: number = 3;
}

const TEXT: BpfMapText<PolicyKey, PolicyEntry> = {
  key: policyKeyText,
  value: ({ deny, proxyPort }) =>
    deny ? "Deny" : proxyPort === 0 ? "Allow" : `Allow proxy port ${proxyPort}`,
  origin: (_key, entry) => entry.origin,
};

/** `cilium_policy_v2_00042` (bpf/lib/policy.h). */
export function policyMap(kernel: Kernel, endpointId: number, maxEntries: number): PolicyMap {
  return new PolicyMap(kernel, {
    name: `cilium_policy_v2_${String(endpointId).padStart(5, "0")}`,
    maxEntries,
    bits: 64,
    encode: encodePolicyKey,
    text: TEXT,
  });
}

/** An entry of one endpoint (`struct policy_stats_key`). */
export interface PolicyStatsKey extends PolicyKey {
  readonly endpointId: number;
}

/** What has come by (`struct policy_stats_value`). */
export interface PolicyStats {
  packets: number;
  bytes: number;
}

export type PolicyStatsMap = BpfLruHash<PolicyStatsKey, PolicyStats>;

/** `cilium_policystats`: how often entries of all endpoints' policies decided. */
export function policyStatsMap(kernel: Kernel, maxEntries: number): PolicyStatsMap {
  return new BpfLruHash<PolicyStatsKey, PolicyStats>(kernel, {
    name: "cilium_policystats",
    maxEntries,
    pack: ({ endpointId, secLabel, egress, protocol, dport, lpmPrefixLength }) =>
      String.fromCharCode(
        endpointId,
        secLabel >>> 16,
        secLabel & 0xffff,
        (protocol << 8) | (Number(egress) << 7) | lpmPrefixLength,
        dport,
      ),
    text: {
      key: (key) => `${key.endpointId} ${policyKeyText(key)}`,
      value: ({ packets, bytes }) => `${packets} ${bytes}`,
    },
  });
}
