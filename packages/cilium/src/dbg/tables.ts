import { timestamp } from "@cnilab/core";
import type { AnyBpfMap, Kernel } from "@cnilab/linux";
import { compareIp, formatIp, type IpAddress, type Prefix } from "@cnilab/net";
import type { AuthInfo, AuthKey } from "../datapath/maps/auth-map.ts";
import { type EndpointInfo, endpointInfoText } from "../datapath/maps/endpoint-map.ts";
import type { FragmentId, FragmentPorts } from "../datapath/maps/fragment-map.ts";
import {
  type IpcacheKey,
  ipcacheValueText,
  type RemoteEndpointInfo,
} from "../datapath/maps/ipcache-map.ts";
import { protocolText } from "../datapath/maps/map-key.ts";
import type { MetricsKey, MetricsValue } from "../datapath/maps/metrics-map.ts";
import type { NodeValue } from "../datapath/maps/node-map.ts";
import { goTime } from "../go-time.ts";
import { dropReasonText } from "../hubble/drop-reasons.ts";
import { entriesOf, pinnedMap } from "./bpf-maps.ts";
import { dbgTable } from "./dbg-table.ts";
import { type DbgOutput, NO_ENTRIES_FOUND, tableOutput } from "./listing.ts";
import { authTypeText } from "./policy.ts";

/** `cilium-dbg bpf ipcache list` (bpf_ipcache_list.go). */
export function ipcacheList(kernel: Kernel): DbgOutput {
  const entries = entriesOf<IpcacheKey, RemoteEndpointInfo>(kernel, "cilium_ipcache_v2").sort(
    ([x], [y]) => compareIp(x.address, y.address) || x.prefixLength - y.prefixLength,
  );
  const listing = new Map(
    entries.map(([{ address, prefixLength, clusterId }, info]) => {
      const cluster = clusterId === 0 ? "" : `@${clusterId}`;
      return [`${formatIp(address)}/${prefixLength}${cluster}`, [ipcacheValueText(info)]] as const;
    }),
  );
  return tableOutput(["IP PREFIX/ADDRESS", "IDENTITY"], listing, NO_ENTRIES_FOUND);
}

/** `cilium-dbg bpf endpoint list` (bpf_endpoint_list.go). */
export function endpointList(kernel: Kernel): DbgOutput {
  const entries = entriesOf<IpAddress, EndpointInfo>(kernel, "cilium_lxc").sort(([x], [y]) =>
    compareIp(x, y),
  );
  const listing = new Map(
    entries.map(([address, info]) => [`${formatIp(address)}:0`, [endpointInfoText(info)]] as const),
  );
  return tableOutput(["IP ADDRESS", "LOCAL ENDPOINT INFO"], listing);
}

/** `cilium-dbg bpf nodeid list` (bpf_nodeid_list.go). */
export function nodeIdList(kernel: Kernel): DbgOutput {
  const entries = entriesOf<IpAddress, NodeValue>(kernel, "cilium_node_map_v2")
    .map(([address, { id, spi }]) => ({ ID: id, Address: formatIp(address), SPI: spi, address }))
    .sort((x, y) => x.ID - y.ID || compareIp(x.address, y.address));
  return rows(
    "NODE ID\tIP ADDRESSES\tSPI",
    entries.map(({ ID, Address, SPI }) => `0x${ID.toString(16)}\t${Address}\t${SPI}`),
    entries.map(({ ID, Address, SPI }) => ({ ID, Address, SPI })),
  );
}

/** `cilium-dbg bpf ipmasq list` (bpf_ipmasq_list.go). */
export function ipMasqList(kernel: Kernel): DbgOutput {
  const prefixes = entriesOf<Prefix, true>(kernel, "cilium_ipmasq_v4", "cilium_ipmasq_v6")
    .map(([prefix]) => prefix)
    .sort((x, y) => compareIp(x.address, y.address) || x.length - y.length)
    .map(({ address, length }) => `${formatIp(address)}/${length}`);
  const listing = new Map(prefixes.map((prefix) => [prefix, [""]] as const));
  return { ...tableOutput(["IP PREFIX/ADDRESS", ""], listing, NO_ENTRIES_FOUND), json: prefixes };
}

const DIRECTIONS = ["UNKNOWN", "INGRESS", "EGRESS", "SERVICE"] as const;

/** `cilium-dbg bpf metrics list` (bpf_metrics_list.go). Programs here have no lines of a source: 0 of file 0. */
export function metricsList(kernel: Kernel): DbgOutput {
  const entries = entriesOf<MetricsKey, MetricsValue>(kernel, "cilium_metrics").map(
    ([{ reason, direction }, { count, bytes }]) => ({
      reason: dropReasonText(reason),
      direction: DIRECTIONS[direction] ?? "UNKNOWN",
      packets: count,
      bytes,
      line: 0,
      file: "unknown(0)",
    }),
  );
  const lines = entries
    .map(({ reason, direction, packets, bytes, line, file }) =>
      [reason, direction, packets, bytes, line, file].join("\t"),
    )
    .sort();
  const json = entries.map((entry) => ({ ...entry, direction: entry.direction.toLowerCase() }));
  return rows("REASON\tDIRECTION\tPACKETS\tBYTES\tLINE\tFILE", lines, json);
}

/** `cilium-dbg bpf auth list` (bpf_auth_list.go). */
export function authList(kernel: Kernel): DbgOutput {
  const entries = entriesOf<AuthKey, AuthInfo>(kernel, "cilium_auth_map").map(
    ([{ localSecLabel, remoteSecLabel, remoteNodeId, authType }, { expiration }]) => ({
      LocalIdentity: localSecLabel,
      RemoteIdentity: remoteSecLabel,
      RemoteNodeID: remoteNodeId,
      AuthType: authType,
      Expiration: timestamp(expiration),
    }),
  );
  return rows(
    "SRC IDENTITY\tDST IDENTITY\tREMOTE NODE ID\tAUTH TYPE\tEXPIRATION",
    entries.map(({ LocalIdentity, RemoteIdentity, RemoteNodeID, AuthType, Expiration }) => {
      const expires = goTime(Expiration);
      return [LocalIdentity, RemoteIdentity, RemoteNodeID, authTypeText(AuthType), expires].join(
        "\t",
      );
    }),
    entries,
  );
}

/** `cilium-dbg bpf frag list` (bpf_frag_list.go). */
export function fragmentList(kernel: Kernel): DbgOutput {
  const names = ["cilium_ipv4_frag_datagrams", "cilium_ipv6_frag_datagrams"];
  const entries = entriesOf<FragmentId, FragmentPorts>(kernel, ...names).map(
    ([{ id, protocol, src, dst }, { sport, dport }]) => ({
      ID: id,
      Proto: protocol,
      // Of IPv6 only destinations have brackets there.
      SourceAddress: `${formatIp(src)}:${sport}`,
      DestAddress: `${typeof dst === "number" ? formatIp(dst) : `[${formatIp(dst)}]`}:${dport}`,
    }),
  );
  return rows(
    "ID\tPROTO\tSOURCE ADDRESS:PORT\tDEST ADDRESS:PORT",
    entries.map(({ ID, Proto, SourceAddress, DestAddress }) =>
      [ID, protocolText(Proto), SourceAddress, DestAddress].join("\t"),
    ),
    entries,
  );
}

function rows(title: string, lines: readonly string[], json: readonly unknown[]): DbgOutput {
  if (lines.length === 0) return { text: "", json, note: NO_ENTRIES_FOUND };
  return { text: dbgTable([title, ...lines]), json };
}

/**
 * The maps of a machine, by name (`cilium-dbg map list`). What the real one counts are the entries that the agent knows;
 * here they are those of the map, and beside them stands what it is and how many it may have.
 */
export function mapList(kernel: Kernel): DbgOutput {
  const maps = [...(kernel.findBpf()?.maps.values() ?? [])].sort((x, y) =>
    x.name < y.name ? -1 : 1,
  );
  const lines = maps.map(({ name, size, type, maxEntries }) =>
    [name, type === "perf_event_array" ? 0 : size, maxEntries, type].join("\t"),
  );
  return {
    text: dbgTable(["Name\tNum entries\tMax entries\tType", ...lines]),
    json: maps.map(({ id, name, type, size, maxEntries }) => ({
      id,
      name,
      type,
      entries: size,
      maxEntries,
    })),
  };
}

/** `cilium-dbg map get NAME` (map_get.go), of whatever map there is; `undefined` where there is none. */
export function mapGet(kernel: Kernel, name: string): DbgOutput | undefined {
  const map = pinnedMap(kernel, name) as AnyBpfMap | undefined;
  if (map === undefined) return undefined;
  const entries = map
    .entries()
    .map(([key, value]) => ({ key: map.keyText(key), value: map.valueText(value, key) }));
  const json = {
    path: `/sys/fs/bpf/tc/globals/${name}`,
    cache: entries.map((entry) => ({ ...entry, "desired-action": "sync" })),
  };
  if (entries.length === 0) return { text: "Cache is empty\n\n", json };
  const lines = entries.map(({ key, value }) => [key, value, "sync", ""].join("\t"));
  return { text: dbgTable(["Key\tValue\tState\tError", ...lines]), json };
}
