import {
  ACCEPT,
  type Filter,
  type FilterStatement,
  type PeerConfig,
  parseCommunity,
  REJECT,
  type SpeakerConfig,
} from "@cnilab/bgp";
import {
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  Prefix,
  tryParseIp,
  tryParsePrefix,
} from "@cnilab/net";
import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import type * as v3 from "../api/v3.ts";
import { exportFilter, importFilter, metricOfBgpRoutes, netIn } from "./bgp-filters.ts";
import { asNumber, type BgpNode, type BgpNodeSide } from "./bgp-node.ts";
import type { BgpCore, NodeBlock } from "./bgp-view.ts";
import { seconds } from "./duration.ts";
import { DEFAULT_AS, type Peering } from "./peerings.ts";
import { prefixesOf, type ServiceRoutes } from "./service-routes.ts";

const BGP_PORT = 179;
/** Of routes in the kernel, where BGPConfiguration does not say otherwise. */
const NORMAL_PRIORITY = 1024;
/** BIRD's own default. */
const RESTART_TIME = 120;
/** Devices of Felix's tunnels, whose routes nodes have from the datastore. */
const FELIX_TUNNELS = ["*.cali", "*.calico"];

/** What confd writes into bird.cfg (bird6.cfg) for one node. */
export function speakerConfig(
  core: BgpCore,
  node: BgpNode,
  family: IpFamily,
  blocks: readonly NodeBlock[],
  services: ServiceRoutes,
): SpeakerConfig | undefined {
  const side = node[family];
  if (side === undefined) return undefined;
  const { settings } = core;
  const own = core.settingsOfNode.get(node.name);
  const localAs = node.asNumber ?? asNumber(settings.asNumber) ?? DEFAULT_AS;
  const ofFamily = (p: Prefix) => p.family === family;
  const blocksHere = blocks.filter(({ prefix }) => ofFamily(prefix));
  const advertised = services.advertised.filter(ofFamily);
  const context: Context = { core, node, side, family, localAs };
  const priority = normalPriority(context);
  const peers = peersOf(context, exportToPeers(context, blocksHere, advertised), priority);
  return {
    release: "1.6",
    family,
    routerId: routerId(node),
    listen: { address: side.address, port: own?.listenPort ?? settings.listenPort ?? BGP_PORT },
    statics: [
      ...blocksHere.filter(({ prefix }) => !prefix.isHost).map(({ prefix }) => ({ prefix })),
      ...advertised.map((prefix) => ({ prefix })),
      ...reachableBy(context),
    ],
    directInterfaces: [
      ...(settings.ignoredInterfaces ?? []).map((name) => `-${name}`),
      "-cali*",
      "-kube-ipvs*",
      "*",
    ],
    kernel: {
      exportFilter: kernelFilter(context, services.rejected.filter(ofFamily), priority),
      mergePaths: true,
    },
    peers: peers.sort((x, y) => (x.name < y.name ? -1 : 1)),
  };
}

interface Context {
  readonly core: BgpCore;
  readonly node: BgpNode;
  readonly side: BgpNodeSide;
  readonly family: IpFamily;
  readonly localAs: number;
}

function normalPriority({ core, family }: Context): number {
  const { ipv4NormalRoutePriority, ipv6NormalRoutePriority } = core.settings;
  return (family === 4 ? ipv4NormalRoutePriority : ipv6NormalRoutePriority) ?? NORMAL_PRIORITY;
}

/** The IPv4 address; of a node without one its name's hash (`CALICO_ROUTER_ID=hash`; HashToIPv4). */
export function routerId(node: BgpNode): number {
  const address = node[4]?.address;
  if (typeof address === "number") return address;
  const [a = 0, b = 0, c = 0, d = 0] = sha256(utf8ToBytes(node.name));
  // Router ids are unicast addresses.
  const first = a > 223 ? a - 32 : a;
  return first * 0x1000000 + b * 0x10000 + c * 0x100 + d;
}

// --- peers

function peersOf(
  context: Context,
  toPeers: (isInternal: boolean) => Filter,
  priority: number,
): PeerConfig[] {
  const { core, family } = context;
  const filters = new FilterCache(core, family, priority, toPeers);
  const peers = new Map<string, PeerConfig>();
  const add = (peer: PeerConfig) => {
    if (!peers.has(peer.name)) peers.set(peer.name, peer);
  };
  for (const peer of meshPeers(context, filters)) add(peer);
  for (const peering of core.peerings.get(context.node.name) ?? []) {
    if (familyOf(peering.address) !== family || peering.address === context.side.address) continue;
    add(peerOf(peering, context, filters));
  }
  return [...peers.values()];
}

/** Filters of peers that are told the same are the same object, which is how the speaker knows. */
class FilterCache {
  readonly #core: BgpCore;
  readonly #family: IpFamily;
  readonly #priority: number;
  readonly #toPeers: (isInternal: boolean) => Filter;
  readonly #known = new Map<
    string,
    { readonly importFilter: Filter; readonly exportFilter: Filter }
  >();

  constructor(
    core: BgpCore,
    family: IpFamily,
    priority: number,
    toPeers: (isInternal: boolean) => Filter,
  ) {
    this.#core = core;
    this.#family = family;
    this.#priority = priority;
    this.#toPeers = toPeers;
  }

  of(
    names: readonly string[],
    isInternal: boolean,
  ): Pick<PeerConfig, "importFilter" | "exportFilter"> {
    const key = [isInternal, ...names].join(" ");
    let filters = this.#known.get(key);
    if (filters === undefined) {
      const all = names.flatMap((name): v3.BGPFilter[] => {
        const filter = this.#core.filters.get(name);
        return filter === undefined ? [] : [filter];
      });
      const [family, priority] = [this.#family, this.#priority];
      filters = {
        importFilter: importFilter(all, isInternal, family, priority),
        exportFilter: exportFilter(all, isInternal, family, priority, this.#toPeers(isInternal)),
      };
      this.#known.set(key, filters);
    }
    return filters;
  }
}

/** processMeshPeers: every node but route reflectors peers with every other one. */
function meshPeers(context: Context, filters: FilterCache): PeerConfig[] {
  const { core, node, side, family, localAs } = context;
  const { settings, settingsOfNode } = core;
  if (settings.nodeToNodeMeshEnabled === false || node.clusterId !== undefined) return [];
  const own = formatIp(side.address);
  const gracefulRestartTime = seconds(settings.nodeMeshMaxRestartTime) ?? RESTART_TIME;
  const peers: PeerConfig[] = [];
  for (const other of core.nodes.values()) {
    const address = other[family]?.address;
    if (address === undefined || address === side.address || other.clusterId !== undefined)
      continue;
    const remoteAs = other.asNumber ?? localAs;
    const text = formatIp(address);
    peers.push({
      ...PEER,
      name: `Mesh_${symbol(text)}`,
      neighbor: address,
      port: settingsOfNode.get(other.name)?.listenPort ?? settings.listenPort ?? BGP_PORT,
      remoteAs,
      localAs,
      sourceAddress: side.address,
      // One end waits, so that they do not meet half-way: texts are compared, not numbers.
      passive: text > own,
      gracefulRestartTime,
      ...filters.of([], remoteAs === localAs),
    });
  }
  return peers;
}

/** What bgp_template says, and what Calico never does. */
const PEER = {
  ttlSecurity: undefined,
  addPaths: true,
  rrClient: false,
  rrClusterId: undefined,
  nextHopSelf: false,
  nextHopKeep: false,
  allowLocalAs: 0,
  keepaliveTime: undefined,
} as const;

/** buildPeerFromData. */
function peerOf(peering: Peering, context: Context, filters: FilterCache): PeerConfig {
  const { node, side } = context;
  const text = formatIp(peering.address);
  const localAs = peering.localAsNumber ?? context.localAs;
  const isInternal = peering.asNumber === localAs;
  const reflects =
    isInternal && node.clusterId !== undefined && peering.clusterId !== node.clusterId;
  const port = peering.port === 0 ? "" : `_port_${peering.port}`;
  return {
    ...PEER,
    name: `${peering.scope}_${symbol(text)}${port}`,
    neighbor: peering.address,
    port: peering.port || BGP_PORT,
    remoteAs: peering.asNumber,
    localAs,
    sourceAddress: peering.useNodeAddress ? side.address : undefined,
    passive: peering.scope === "Global" && peering.isCalicoNode && text > formatIp(side.address),
    ttlSecurity: peering.ttlSecurity,
    gracefulRestartTime: peering.restartTime ?? RESTART_TIME,
    rrClient: reflects,
    rrClusterId: reflects ? (tryParseIp(node.clusterId ?? "") as number | undefined) : undefined,
    nextHopSelf: peering.nextHop === "self",
    nextHopKeep: peering.nextHop === "keep" || (peering.nextHop === "keep-external" && !isInternal),
    allowLocalAs: peering.allowLocalAs,
    keepaliveTime: peering.keepaliveTime,
    ...filters.of(peering.filters, isInternal),
  };
}

function symbol(address: string): string {
  return address.replace(/[.:]/g, "_");
}

function reachableBy({ core, node, family }: Context): { prefix: Prefix; via: IpAddress }[] {
  return (core.peerings.get(node.name) ?? []).flatMap(({ address, reachableBy: via }) =>
    via === undefined || familyOf(address) !== family
      ? []
      : [{ prefix: Prefix.host(address), via }],
  );
}

// --- filters (node/filesystem/etc/calico/confd/templates/bird_ipam.cfg.template, bird_aggr.cfg.template)

/** `calico_export_to_bgp_peers`. */
function exportToPeers(
  context: Context,
  blocks: readonly NodeBlock[],
  advertised: readonly Prefix[],
): (isInternal: boolean) => Filter {
  const { core, node, family } = context;
  const pools = poolsOf(core, family);
  const { settings } = core;
  const tunnels = programsIpip(settings) ? FELIX_TUNNELS : [...FELIX_TUNNELS, "tunl0"];
  const reflected =
    node.clusterId === undefined
      ? []
      : [
          ...prefixesOf(settings.serviceLoadBalancerIPs),
          ...prefixesOf(settings.serviceExternalIPs),
        ];
  const notFromTunnels: FilterStatement = {
    do: "if",
    condition: { is: "or", conditions: tunnels.map((pattern) => ({ is: "ifname", pattern })) },
    block: [REJECT],
  };
  const priority = normalPriority(context);
  const rest: Filter = [
    { do: "if", condition: { is: "ifname", pattern: "bpf*.cali" }, block: [REJECT] },
    ...communities(context),
    ...blocks.filter((b) => b.isConfirmed).flatMap(({ prefix }) => aggregate(prefix, priority)),
    ...advertised.map((prefix) => netIn(prefix, ACCEPT)),
    ...reflected.filter((p) => p.family === family).map((prefix) => netIn(prefix, ACCEPT)),
    ...pools.filter((p) => !p.noExport).map(({ prefix }) => netIn(prefix, ACCEPT)),
  ];
  const disabled = pools.filter((p) => p.noExport).map(({ prefix }) => netIn(prefix, REJECT));
  return (isInternal) => [...disabled, ...(isInternal ? [notFromTunnels] : []), ...rest];
}

/** The block goes out, nothing below it but what is on its way to another node (`calico_aggr`). */
function aggregate(prefix: Prefix, priority: number): FilterStatement[] {
  const isUrgent = { is: "number", number: "krt_metric", operator: "<", value: priority } as const;
  return [
    { do: "if", condition: { is: "net-equal", prefix }, block: [ACCEPT] },
    {
      do: "if",
      condition: { is: "and", conditions: [{ is: "net-in", prefix }, isUrgent] },
      block: [ACCEPT],
    },
    netIn(prefix, REJECT),
  ];
}

/** `apply_communities`. */
function communities({ core, node, family }: Context): FilterStatement[] {
  const own = core.settingsOfNode.get(node.name);
  const settings = own?.prefixAdvertisements === undefined ? core.settings : own;
  const named = new Map((settings.communities ?? []).map(({ name, value }) => [name, value]));
  return (settings.prefixAdvertisements ?? []).flatMap(({ cidr, communities: names }) => {
    const prefix = tryParsePrefix(cidr);
    if (prefix === undefined || prefix.family !== family) return [];
    const values = new Set(names.map((name) => named.get(name) ?? name));
    const block = [...values].sort().flatMap((value): FilterStatement[] => {
      const community = parseCommunity(value);
      return community === undefined ? [] : [{ do: "add-community", community }];
    });
    return block.length === 0 ? [] : [netIn(prefix, ...block)];
  });
}

/** `calico_kernel_programming`. */
function kernelFilter(context: Context, rejected: readonly Prefix[], priority: number): Filter {
  const { core, node, family } = context;
  return [
    ...rejected.map((prefix) => netIn(prefix, REJECT)),
    metricOfBgpRoutes(priority),
    ...wireguardPeers(core, node, family),
    ...poolsOf(core, family).flatMap((pool) => kernelStatement(pool, context)),
    ACCEPT,
  ];
}

/** Felix routes to nodes with WireGuard, where this node has it, too (processWireguardPeerFilter). */
function wireguardPeers(core: BgpCore, node: BgpNode, family: IpFamily): FilterStatement[] {
  if (node[family]?.hasWireguard !== true) return [];
  return [...core.nodes.values()].flatMap((other): FilterStatement[] => {
    const side = other[family];
    if (other.name === node.name || side?.hasWireguard !== true) return [];
    return [{ do: "if", condition: { is: "next-hop", address: side.address }, block: [REJECT] }];
  });
}

interface Pool {
  readonly prefix: Prefix;
  readonly noExport: boolean;
  readonly ipipMode: v3.EncapsulationMode;
  readonly isVxlan: boolean;
}

function poolsOf({ pools }: BgpCore, family: IpFamily): Pool[] {
  return pools
    .flatMap(({ spec }) => {
      const prefix = tryParsePrefix(spec.cidr);
      // Pools that are only there for Services' addresses are none of BIRD's.
      const isOther = spec.allowedUses?.every((use) => use === "LoadBalancer") === true;
      if (prefix === undefined || prefix.family !== family || isOther) return [];
      return [
        {
          prefix,
          noExport: spec.disableBGPExport === true,
          ipipMode: spec.ipipMode ?? "Never",
          isVxlan: (spec.vxlanMode ?? "Never") !== "Never",
        },
      ];
    })
    .sort((x, y) => (String(x.prefix) < String(y.prefix) ? -1 : 1));
}

/** processIPPool, for the kernel. */
function kernelStatement({ prefix, ipipMode, isVxlan }: Pool, context: Context): FilterStatement[] {
  const { core, side } = context;
  if (isVxlan) return [netIn(prefix, REJECT)];
  const isIpip = ipipMode !== "Never";
  const programs = isIpip ? programsIpip(core.settings) : programsNoEncap(core.settings);
  if (!programs) return [netIn(prefix, REJECT)];
  const tunnel: FilterStatement = { do: "tunnel", device: "tunl0" };
  if (ipipMode === "Always") return [netIn(prefix, tunnel, ACCEPT)];
  if (ipipMode === "Never") return [netIn(prefix, ACCEPT)];
  const isFar: FilterStatement = {
    do: "if",
    condition: { is: "not", condition: { is: "next-hop-in", prefix: side.subnet } },
    block: [tunnel],
  };
  return [netIn(prefix, isFar, ACCEPT)];
}

/** clusterRoutePolicyFromBGPConfig. */
function programsIpip({ programClusterRoutes }: v3.BGPConfigurationSpec): boolean {
  return programClusterRoutes === "Enabled" || programClusterRoutes === "EnabledIPIPOnly";
}

function programsNoEncap({ programClusterRoutes }: v3.BGPConfigurationSpec): boolean {
  return programClusterRoutes !== "Disabled" && programClusterRoutes !== "EnabledIPIPOnly";
}
