import { familyOf, formatIp, type IpAddress, type IpFamily, tryParseIp } from "@cnilab/net";
import type * as v3 from "../api/v3.ts";
import { parseSelector } from "../selector/selector.ts";
import { asNumber, type BgpNode } from "./bgp-node.ts";
import { seconds } from "./duration.ts";

/** `BGPConfiguration.spec.asNumber` where nobody says otherwise. */
export const DEFAULT_AS = 64512;

/** One neighbour of one node, from a BGPPeer (`confd/pkg/backends/types.go` BGPPeer). */
export interface Peering {
  /** How the protocol's name begins: of BGPPeers for all nodes, and of others. */
  readonly scope: "Global" | "Node";
  readonly address: IpAddress;
  /** 0 where nobody says. */
  readonly port: number;
  readonly asNumber: number;
  readonly localAsNumber: number | undefined;
  readonly clusterId: string | undefined;
  readonly nextHop: "self" | "keep" | "keep-external" | "auto";
  /** Named by address, the neighbour is a node all the same. */
  readonly isCalicoNode: boolean;
  readonly useNodeAddress: boolean;
  readonly ttlSecurity: number | undefined;
  readonly allowLocalAs: number;
  readonly reachableBy: IpAddress | undefined;
  readonly filters: readonly string[];
  readonly restartTime: number | undefined;
  readonly keepaliveTime: number | undefined;
}

interface Context {
  readonly nodes: ReadonlyMap<string, BgpNode>;
  readonly settings: v3.BGPConfigurationSpec;
  readonly settingsOfNode: ReadonlyMap<string, v3.BGPConfigurationSpec>;
}

/** Who may reach one neighbour by several BGPPeers has it once: the first one wins, and one for all nodes before others. */
export function peerings(
  peers: readonly v3.BGPPeer[],
  nodes: ReadonlyMap<string, BgpNode>,
  settings: v3.BGPConfigurationSpec,
  settingsOfNode: ReadonlyMap<string, v3.BGPConfigurationSpec>,
): ReadonlyMap<string, readonly Peering[]> {
  const context = { nodes, settings, settingsOfNode };
  const global = new Map<string, Peering>();
  const ofNode = new Map<string, Map<string, Peering>>();
  const emit = (node: string, peering: Peering) => {
    const key = `${formatIp(peering.address)} ${peering.port}`;
    if (global.has(key)) return;
    const known = ofNode.get(node);
    if (known === undefined) ofNode.set(node, new Map([[key, peering]]));
    else if (!known.has(key)) known.set(key, peering);
  };
  for (const peer of peers.filter(isGlobal)) {
    for (const peering of forwards(peer, context)) {
      const key = `${formatIp(peering.address)} ${peering.port}`;
      if (!global.has(key)) global.set(key, peering);
    }
  }
  for (const peer of peers.filter((p) => !isGlobal(p))) {
    const found = forwards(peer, context);
    for (const node of localNodes(peer, nodes)) for (const peering of found) emit(node, peering);
  }
  // The other way, so that both ends know of each other (updatePeersV1, "missing reverse peerings").
  for (const peer of peers) {
    const { spec } = peer;
    if (spec.reversePeering === "Manual" || spec.localWorkloadSelector) continue;
    const far = farNodes(peer, context);
    if (far.nodes.length === 0) continue;
    const near = isGlobal(peer) ? [...nodes.keys()] : localNodes(peer, nodes);
    const back = near.flatMap((name) => asPeerings(name, far.families, peer, "Node", context));
    for (const node of far.nodes) for (const peering of back) emit(node, peering);
  }
  const all = [...global.values()];
  return new Map(
    [...nodes.keys()].map((name) => {
      const own = [...(ofNode.get(name)?.values() ?? [])];
      return [name, own.length === 0 ? all : [...all, ...own]];
    }),
  );
}

function isGlobal({ spec }: v3.BGPPeer): boolean {
  return !spec.node && !spec.nodeSelector;
}

function localNodes({ spec }: v3.BGPPeer, nodes: ReadonlyMap<string, BgpNode>): string[] {
  if (spec.nodeSelector) return matching(spec.nodeSelector, nodes);
  return spec.node ? [spec.node] : [];
}

function matching(selector: string, nodes: ReadonlyMap<string, BgpNode>): string[] {
  const { root } = parseSelector(selector);
  if (root.op === "all") return [...nodes.keys()];
  const parsed = parseSelector(selector);
  return [...nodes.values()].filter(({ labels }) => parsed.matches(labels)).map(({ name }) => name);
}

function forwards(peer: v3.BGPPeer, context: Context): Peering[] {
  const { spec } = peer;
  const scope = isGlobal(peer) ? "Global" : "Node";
  if (spec.localWorkloadSelector) return [];
  if (spec.peerSelector) {
    return matching(spec.peerSelector, context.nodes).flatMap((name) =>
      asPeerings(name, [4, 6], peer, scope, context),
    );
  }
  const { address, port } = endpoint(spec.peerIP ?? "");
  if (address === undefined) return [];
  const reachableBy = spec.reachableBy ? tryParseIp(spec.reachableBy) : undefined;
  if (
    spec.reachableBy &&
    (reachableBy === undefined || familyOf(reachableBy) !== familyOf(address))
  ) {
    return [];
  }
  const [node] = port === 0 ? nodesAt(address, 0, spec, context) : [];
  return [
    {
      ...common(peer, scope),
      address,
      port: node === undefined ? port : listenPort(node, context),
      asNumber: asNumber(spec.asNumber) ?? 0,
      localAsNumber: asNumber(spec.localASNumber) || undefined,
      clusterId: undefined,
      isCalicoNode: [...context.nodes.values()].some(
        (n) => n[familyOf(address)]?.address === address,
      ),
      allowLocalAs: spec.numAllowedLocalASNumbers ?? 0,
      reachableBy,
    },
  ];
}

/** What every peering of a BGPPeer has. */
function common({ spec }: v3.BGPPeer, scope: Peering["scope"]) {
  const keep = spec.keepOriginalNextHop === true ? "keep-external" : "auto";
  const modes = { Auto: "auto", Self: "self", Keep: "keep" } as const;
  return {
    scope,
    nextHop: spec.nextHopMode === undefined ? keep : modes[spec.nextHopMode],
    useNodeAddress: (spec.sourceAddress || "UseNodeIP") === "UseNodeIP",
    ttlSecurity: spec.ttlSecurity || undefined,
    filters: spec.filters ?? [],
    restartTime: seconds(spec.maxRestartTime),
    keepaliveTime: seconds(spec.keepaliveTime),
  } as const;
}

/** nodeAsBGPPeers. */
function asPeerings(
  name: string,
  families: readonly IpFamily[],
  peer: v3.BGPPeer,
  scope: Peering["scope"],
  context: Context,
): Peering[] {
  const node = context.nodes.get(name);
  return families.flatMap((family) => {
    const address = node?.[family]?.address;
    if (node === undefined || address === undefined) return [];
    return [
      {
        ...common(peer, scope),
        address,
        port: listenPort(node, context),
        asNumber: node.asNumber ?? asNumber(context.settings.asNumber) ?? DEFAULT_AS,
        localAsNumber: undefined,
        clusterId: node.clusterId,
        isCalicoNode: false,
        allowLocalAs: 0,
        reachableBy: peer.spec.reachableBy ? tryParseIp(peer.spec.reachableBy) : undefined,
      },
    ];
  });
}

/** 0 where nobody says. */
function listenPort(node: BgpNode, { settings, settingsOfNode }: Context): number {
  return settingsOfNode.get(node.name)?.listenPort ?? settings.listenPort ?? 0;
}

/** The nodes that a BGPPeer is about from the other end. */
function farNodes(
  { spec }: v3.BGPPeer,
  context: Context,
): { readonly nodes: readonly string[]; readonly families: readonly IpFamily[] } {
  if (spec.peerSelector) {
    return { nodes: matching(spec.peerSelector, context.nodes), families: [4, 6] };
  }
  const { address, port } = endpoint(spec.peerIP ?? "");
  if (address === undefined) return { nodes: [], families: [] };
  const nodes = nodesAt(address, port, spec, context).map(({ name }) => name);
  return { nodes, families: [familyOf(address)] };
}

/** nodesWithIPPortAndAS. */
function nodesAt(
  address: IpAddress,
  port: number,
  spec: v3.BGPPeerSpec,
  context: Context,
): BgpNode[] {
  const { nodes, settings, settingsOfNode } = context;
  const globalAs = asNumber(settings.asNumber) ?? DEFAULT_AS;
  const wanted = asNumber(spec.asNumber) || globalAs;
  return [...nodes.values()].filter((node) => {
    if (node[familyOf(address)]?.address !== address) return false;
    if ((node.asNumber ?? globalAs) !== wanted) return false;
    if (port === 0) return true;
    const own = settingsOfNode.get(node.name)?.listenPort;
    if (own !== undefined && own !== port) return false;
    return own !== undefined || settings.listenPort === undefined || settings.listenPort === port;
  });
}

/** `10.0.0.1`, `10.0.0.1:1790` or `[fd00::1]:1790`; port 0 where it names none. */
export function endpoint(text: string): { address: IpAddress | undefined; port: number } {
  const plain = tryParseIp(text);
  if (plain !== undefined) return { address: plain, port: 0 };
  const match = /^\[?([^\]]*)\]?:(\d+)$/.exec(text);
  return { address: tryParseIp(match?.[1] ?? ""), port: Number(match?.[2] ?? 0) };
}
