import type { Kernel } from "@cnilab/linux";
import { protocolText } from "../datapath/maps/map-key.ts";
import {
  LPM_FULL_PREFIX_BITS,
  LPM_PROTO_PREFIX_BITS,
  POLICY_STATIC_PREFIX,
  type PolicyEntry,
  type PolicyKey,
  type PolicyStats,
  type PolicyStatsKey,
} from "../datapath/maps/policy-map.ts";
import { networkOrder, pinnedMap } from "./bpf-maps.ts";
import { dbgTable } from "./dbg-table.ts";
import type { DbgOutput } from "./listing.ts";

/** Labels of an identity, sorted; none where nobody knows it. */
export type IdentityLabels = (identity: number) => readonly string[];

export interface PolicyGetOptions {
  readonly labelsOf: IdentityLabels;
  /** Identities as numbers (`-n`). */
  readonly numeric?: boolean | undefined;
}

const MAP_PREFIX = "cilium_policy_v2_";

/** An entry, and what has come by: nobody knows before anything has. */
type Dump = readonly [key: PolicyKey, entry: PolicyEntry, stats: PolicyStats | undefined];

/** Ids of the endpoints that have a policy map. */
export function policyEndpoints(kernel: Kernel): number[] {
  const names = [...(kernel.findBpf()?.maps.values() ?? [])].map(({ name }) => name);
  return names
    .filter((name) => name.startsWith(MAP_PREFIX))
    .map((name) => Number(name.slice(MAP_PREFIX.length)))
    .sort((x, y) => x - y);
}

/** `cilium-dbg bpf policy get ENDPOINT` (bpf_policy_get.go); `undefined` where there is no such map. */
export function policyGet(
  kernel: Kernel,
  endpointId: number,
  options: PolicyGetOptions,
): DbgOutput | undefined {
  const entries = sortedEntries(kernel, endpointId);
  if (entries === undefined) return undefined;
  return { text: table(entries, options), json: entries.map(entryJson) };
}

/** `cilium-dbg bpf policy list`. */
export function policyList(kernel: Kernel, options: PolicyGetOptions): DbgOutput {
  const maps = policyEndpoints(kernel).map((id) => ({
    id,
    path: `/sys/fs/bpf/tc/globals/${policyMapName(id)}`,
    entries: sortedEntries(kernel, id) ?? [],
  }));
  if (maps.length === 0) return { text: "no maps found\n", json: [] };
  return {
    text: maps
      .map(
        ({ id, path, entries }) =>
          `Endpoint ID: ${id}\nPath: ${path}\n\n${table(entries, options)}\n\n`,
      )
      .join(""),
    json: maps.map(({ id, path, entries }) => ({
      EndpointID: String(id),
      Path: path,
      Content: entries.map(entryJson),
    })),
  };
}

function policyMapName(endpointId: number): string {
  return `${MAP_PREFIX}${String(endpointId).padStart(5, "0")}`;
}

/** Denials first, ingress before egress, then by identity (`PolicyEntriesDump.Less`). */
function sortedEntries(kernel: Kernel, endpointId: number): Dump[] | undefined {
  const map = pinnedMap<PolicyKey, PolicyEntry>(kernel, policyMapName(endpointId));
  const stats = pinnedMap<PolicyStatsKey, PolicyStats>(kernel, "cilium_policystats");
  return map
    ?.entries()
    .map(([key, entry]): Dump => [key, entry, stats?.get({ ...key, endpointId })])
    .sort(
      ([x, v], [y, w]) =>
        Number(w.deny) - Number(v.deny) ||
        Number(x.egress) - Number(y.egress) ||
        x.secLabel - y.secLabel ||
        x.protocol - y.protocol ||
        x.dport - y.dport ||
        x.lpmPrefixLength - y.lpmPrefixLength,
    );
}

function table(entries: readonly Dump[], { labelsOf, numeric = false }: PolicyGetOptions): string {
  const who = numeric ? "IDENTITY" : "LABELS (source:key[=value])";
  const lines = [
    `POLICY\tDIRECTION\t${who}\tPORT/PROTO\tPROXY PORT\tAUTH TYPE\tBYTES\tPACKETS\tPREFIX\t`,
  ];
  for (const [key, entry, stats] of entries) {
    const labels = numeric ? [] : labelsOf(key.secLabel);
    const names = labels.map((label) => (label === "reserved:unknown" ? "ANY" : label));
    const [first = String(key.secLabel), ...others] = names;
    const cells = [
      entry.deny ? "Deny" : "Allow",
      key.egress ? "Egress" : "Ingress",
      first,
      portText(key),
      entry.proxyPort === 0 ? "NONE" : entry.proxyPort,
      authTypeText(entry.authType),
      stats?.bytes ?? "-",
      stats?.packets ?? "-",
      key.lpmPrefixLength,
    ];
    lines.push(`${cells.join("\t")}\t`);
    for (const label of others) lines.push(`\t\t${label}\t\t\t\t\t\t\t`);
  }
  const empty = "Policy stats empty. Perhaps the policy enforcement is disabled?\n";
  return dbgTable(lines) + (entries.length === 0 ? empty : "");
}

/** `PolicyKey.PortProtoString` */
function portText({ protocol, dport, lpmPrefixLength }: PolicyKey): string {
  const name = protocolText(protocol);
  if (lpmPrefixLength <= LPM_PROTO_PREFIX_BITS) return name;
  if (lpmPrefixLength === LPM_FULL_PREFIX_BITS) return `${dport}/${name}`;
  const last = dport + (0xffff >>> (lpmPrefixLength - LPM_PROTO_PREFIX_BITS));
  return `${dport}-${last}/${name}`;
}

/** (pkg/policy/types/auth.go) */
export function authTypeText(type: number): string {
  return ["disabled", "spire", "test-always-fail"][type] ?? `Unknown-auth-type-${type}`;
}

const FLAG_DENY = 1;
const FLAG_LPM_SHIFT = 3;
const AUTH_TYPE_IS_EXPLICIT = 1 << 7;

/** As a number that stands for none. It is 2^64 - 1 there, which JSON's readers mostly do not get right, either. */
const STAT_NOT_AVAILABLE = 2 ** 64;

function entryJson([key, entry, stats]: Dump) {
  return {
    ProxyPortNetwork: networkOrder(entry.proxyPort),
    Flags: (entry.deny ? FLAG_DENY : 0) | (key.lpmPrefixLength << FLAG_LPM_SHIFT),
    AuthRequirement: entry.authType | (entry.hasExplicitAuthType ? AUTH_TYPE_IS_EXPLICIT : 0),
    ProxyPortPriority: entry.proxyPortPriority,
    Pad1: 0,
    Pad2: 0,
    Packets: stats?.packets ?? STAT_NOT_AVAILABLE,
    Bytes: stats?.bytes ?? STAT_NOT_AVAILABLE,
    Key: {
      Prefixlen: POLICY_STATIC_PREFIX + key.lpmPrefixLength,
      Identity: key.secLabel,
      TrafficDirection: Number(key.egress),
      Nexthdr: key.protocol,
      DestPortNetwork: networkOrder(key.dport),
    },
  };
}
