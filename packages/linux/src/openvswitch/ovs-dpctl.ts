import { formatIp, formatMac } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { type Datapath, type DatapathStats, datapathsOf } from "./datapath.ts";
import {
  EXACT,
  type FlowField,
  type FlowMatch,
  maskedField,
  TUNNEL_CSUM,
  TUNNEL_DONT_FRAGMENT,
  TUNNEL_KEY,
} from "./flow-key.ts";
import type { DatapathFlow } from "./flow-table.ts";
import type { OvsAction } from "./ovs-action.ts";
import type { Vport } from "./vport.ts";

/** All datapaths as `ovs-dpctl show` of Open vSwitch 3.1 prints them. */
export function dpctlShow(netns: NetNamespace): string {
  return [...datapathsOf(netns).values()].map(showDatapath).join("");
}

/** What `ovs-dpctl` has no JSON for. */
export function datapathsJson(netns: NetNamespace): readonly DatapathJson[] {
  const { now } = netns.network.clock;
  return [...datapathsOf(netns).values()].map((datapath) => ({
    name: datapath.name,
    stats: { ...datapath.stats },
    ports: datapath.ports.map(({ number, name, type }) => ({ number, name, type })),
    flows: [...datapath.flows()].map(({ match, actions, packets, bytes, used }) => ({
      match: flowMatchText(match),
      actions: flowActionsText(actions),
      packets,
      bytes,
      usedMs: used === undefined ? null : now - used,
    })),
  }));
}

export interface DatapathJson {
  readonly name: string;
  readonly stats: Readonly<Record<keyof DatapathStats, number>>;
  readonly ports: readonly {
    readonly number: number;
    readonly name: string;
    readonly type: string;
  }[];
  readonly flows: readonly {
    readonly match: string;
    readonly actions: string;
    readonly packets: number;
    readonly bytes: number;
    /** Since the last packet; `null` where there was none. */
    readonly usedMs: number | null;
  }[];
}

/** The flows of all datapaths as `ovs-dpctl dump-flows` prints those of one. */
export function dpctlDumpFlows(netns: NetNamespace): string {
  return [...datapathsOf(netns).values()].map(dumpFlows).join("");
}

/** lib/dpctl.c `show_dpif`. The cache of masks is off, as `ovs-dpctl cache-set-size` can make it, and so has no line of hits. */
function showDatapath(datapath: Datapath): string {
  const { hit, missed, lost, flows, maskHit, masks } = datapath.stats;
  const packets = hit + missed;
  const perPacket = (packets === 0 ? 0 : maskHit / packets).toFixed(2);
  return [
    `system@${datapath.name}:`,
    `  lookups: hit:${hit} missed:${missed} lost:${lost}`,
    `  flows: ${flows}`,
    `  masks: hit:${maskHit} total:${masks} hit/pkt:${perPacket}`,
    "  caches:",
    "    masks-cache: size:0",
    ...datapath.ports.map((port) => `  port ${port.number}: ${port.name}${typeText(port)}`),
    "",
  ].join("\n");
}

/** A tunnel's port is told where it is not the usual one; `ovs-dpctl` knows it by the name that Open vSwitch itself gives. */
function typeText({ type, name }: Vport): string {
  if (type === "netdev") return "";
  if (type === "internal") return " (internal)";
  const port = /^vxlan_sys_(\d+)$/.exec(name)?.[1] ?? USUAL_PORT;
  return ` (vxlan: ${port === USUAL_PORT ? "" : `dst_port=${port}, `}packet_type=ptap)`;
}

const USUAL_PORT = "4789";

function dumpFlows(datapath: Datapath): string {
  const { now } = datapath.netns.network.clock;
  return [...datapath.flows()].map((flow) => `${flowText(flow, now)}\n`).join("");
}

function flowText(flow: DatapathFlow, now: number): string {
  const { match, actions, packets, bytes, used } = flow;
  const ago = used === undefined ? "never" : `${((now - used) / 1000).toFixed(3)}s`;
  const counters = `packets:${packets}, bytes:${bytes}, used:${ago}`;
  return `${flowMatchText(match)}, ${counters}, actions:${flowActionsText(actions)}`;
}

/** lib/odp-util.c `odp_flow_format`: what a flow asks for, without what may be anything. */
export function flowMatchText(match: FlowMatch): string {
  const tunnel = [
    part(match, "tun_id", "tun_id", hex),
    part(match, "tun_src", "src", formatIp),
    part(match, "tun_dst", "dst", formatIp),
    part(match, "tun_tos", "tos", hex),
    part(match, "tun_ttl", "ttl", String),
    flagsMatchText(match),
  ].filter((text) => text !== undefined);
  const eth = [
    part(match, "eth_src", "src", formatMac),
    part(match, "eth_dst", "dst", formatMac),
  ].filter((text) => text !== undefined);
  const { value: type, mask } = maskedField(match, "eth_type");
  return [
    ...(tunnel.length > 0 ? [`tunnel(${tunnel.join(",")})`] : []),
    ...(match.in_port === undefined ? [] : [`in_port(${maskedField(match, "in_port").value})`]),
    `eth(${eth.join(",")})`,
    // The kernel always speaks of it, with a mask of zero where it does not matter.
    mask === EXACT.eth_type ? `eth_type(${hex4(type)})` : `eth_type(${type}/${hex4(mask)})`,
  ].join(",");
}

function part(
  match: FlowMatch,
  field: FlowField,
  name: string,
  format: (value: number) => string,
): string | undefined {
  const { value, mask } = maskedField(match, field);
  if (mask === 0) return undefined;
  return `${name}=${format(value)}${mask === EXACT[field] ? "" : `/${format(mask)}`}`;
}

/** `+` for those that must be set, `-` for those that must not. */
function flagsMatchText(match: FlowMatch): string | undefined {
  const { value, mask } = maskedField(match, "tun_flags");
  const flags = TUNNEL_FLAGS.filter(([bit]) => (mask & bit) !== 0);
  if (flags.length === 0) return undefined;
  return `flags(${flags.map(([bit, name]) => ((value & bit) !== 0 ? "+" : "-") + name).join("")})`;
}

const TUNNEL_FLAGS = [
  [TUNNEL_DONT_FRAGMENT, "df"],
  [TUNNEL_CSUM, "csum"],
  [TUNNEL_KEY, "key"],
] as const;

/** `format_odp_actions`. */
export function flowActionsText(actions: readonly OvsAction[]): string {
  if (actions.length === 0) return "drop";
  return actions.map(actionText).join(",");
}

function actionText(action: OvsAction): string {
  switch (action.type) {
    case "output":
      return String(action.port);
    case "userspace":
      return "userspace";
    case "set-tunnel": {
      const { tunnelId, local, remote, tos, ttl, dontFragment, zeroChecksum } = action.tunnel;
      const flags = [
        ...(dontFragment ? ["df"] : []),
        ...(zeroChecksum ? [] : ["csum"]),
        "key",
      ].join("|");
      const parts = [
        `tun_id=${hex(tunnelId)}`,
        ...(local === undefined ? [] : [`src=${formatIp(local)}`]),
        `dst=${formatIp(remote)}`,
        ...(tos ? [`tos=${hex(tos)}`] : []),
        `ttl=${ttl ?? 0}`,
        `flags(${flags})`,
      ];
      return `set(tunnel(${parts.join(",")}))`;
    }
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

function hex4(value: number): string {
  return `0x${value.toString(16).padStart(4, "0")}`;
}
