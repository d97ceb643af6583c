import type { ApiClient, Labels, Node } from "@cnilab/core";
import { formatIp, type IpAddress, type Prefix, parsePrefix, tryParseIp } from "@cnilab/net";
import type { IPPool } from "../api/v3/ip-pool.ts";
import { NODE_ANNOTATIONS } from "../calc/l3-routes/node-annotations.ts";
import { parseSelector } from "../selector/selector.ts";

/** What IPAM does for a node's tunnels. */
export interface TunnelIpam {
  /** One address out of these pools. @throws Error where there is none */
  assign(request: TunnelAddressRequest): IpAddress;
  /** Gives back all that is under a handle; nothing is no error. */
  releaseByHandle(handle: string): void;
  /** Who has an address; `undefined` where nobody does. */
  ownerOf(
    address: IpAddress,
  ): { readonly handle?: string; readonly attributes: Labels } | undefined;
}

export interface TunnelAddressRequest {
  readonly handle: string;
  readonly node: string;
  readonly attributes: Labels;
  /** Of one family. */
  readonly pools: readonly Prefix[];
}

interface TunnelKind {
  /** IPAM's attribute `type`. */
  readonly type: string;
  readonly handle: string;
  readonly annotation: string;
  readonly fits: (pool: IPPool, node: Node) => boolean;
}

/** In the order of reconcileTunnelAddrs. */
const KINDS: readonly TunnelKind[] = [
  {
    type: "wireguardTunnelAddress",
    handle: "wireguard-tunnel-addr",
    annotation: NODE_ANNOTATIONS.ipv4WireguardInterfaceAddr,
    fits: (pool, node) => isFamily(pool, 4) && hasKey(node, NODE_ANNOTATIONS.wireguardPublicKey),
  },
  {
    type: "wireguardV6TunnelAddress",
    handle: "wireguard-v6-tunnel-addr",
    annotation: NODE_ANNOTATIONS.ipv6WireguardInterfaceAddr,
    fits: (pool, node) => isFamily(pool, 6) && hasKey(node, NODE_ANNOTATIONS.wireguardPublicKeyV6),
  },
  {
    type: "ipipTunnelAddress",
    handle: "ipip-tunnel-addr",
    annotation: NODE_ANNOTATIONS.ipv4IpipTunnelAddr,
    fits: (pool) => isFamily(pool, 4) && isOn(pool.spec.ipipMode),
  },
  {
    type: "vxlanTunnelAddress",
    handle: "vxlan-tunnel-addr",
    annotation: NODE_ANNOTATIONS.ipv4VxlanTunnelAddr,
    fits: (pool) => isFamily(pool, 4) && isOn(pool.spec.vxlanMode),
  },
  {
    type: "vxlanV6TunnelAddress",
    handle: "vxlan-v6-tunnel-addr",
    annotation: NODE_ANNOTATIONS.ipv6VxlanTunnelAddr,
    fits: (pool) => isFamily(pool, 6) && isOn(pool.spec.vxlanMode),
  },
];

/**
 * Gives the node an address for each tunnel that some pool wants, keeps what is right and gives back what is not wanted any more
 * (`node/pkg/allocateip/allocateip.go`). The addresses are written on the Node.
 * @param hostEncryption WireGuard then has the node's own address
 * @throws Error what IPAM says where there is no address
 */
export function reconcileTunnelAddresses(
  api: ApiClient,
  nodeName: string,
  ipam: TunnelIpam,
  hostEncryption: boolean,
): void {
  const node = api.get("Node", nodeName);
  if (node === undefined) return;
  const pools = api.list("IPPool.projectcalico.org").filter((pool) => isUsable(pool, node));
  const annotations: Record<string, string> = { ...node.metadata.annotations };
  for (const kind of KINDS) {
    const wanted = hostEncryption && kind.type.startsWith("wireguard") ? [] : pools;
    const cidrs = wanted.filter((p) => kind.fits(p, node)).map((p) => parsePrefix(p.spec.cidr));
    const before = annotations[kind.annotation];
    const handle = `${kind.handle}-${nodeName}`;
    if (cidrs.length === 0) {
      if (before !== undefined) ipam.releaseByHandle(handle);
      delete annotations[kind.annotation];
      continue;
    }
    const keeps = stillRight(before, kind, nodeName, cidrs, ipam);
    if (keeps === "keep") continue;
    if (keeps === "release") ipam.releaseByHandle(handle);
    const address = ipam.assign({
      handle,
      node: nodeName,
      attributes: { node: nodeName, type: kind.type },
      pools: cidrs,
    });
    annotations[kind.annotation] = formatIp(address);
  }
  api.update("Node", nodeName, (old) => withAnnotations(old, annotations));
}

/** What to do with the address that the Node names (ensureHostTunnelAddress). */
function stillRight(
  text: string | undefined,
  { type }: TunnelKind,
  node: string,
  cidrs: readonly Prefix[],
  ipam: TunnelIpam,
): "keep" | "release" | "assign" {
  const address = text === undefined ? undefined : tryParseIp(text);
  const owner = address === undefined ? undefined : ipam.ownerOf(address);
  if (address === undefined || owner === undefined) return "release";
  const isOurs = owner.attributes["type"] === type && owner.attributes["node"] === node;
  if (!isOurs) return "assign";
  return cidrs.some((cidr) => cidr.contains(address)) ? "keep" : "release";
}

function withAnnotations(node: Node, annotations: Readonly<Record<string, string>>): Node {
  const before = node.metadata.annotations ?? {};
  const keys = new Set([...Object.keys(before), ...Object.keys(annotations)]);
  if ([...keys].every((key) => before[key] === annotations[key])) return node;
  return { ...node, metadata: { ...node.metadata, annotations } };
}

function isUsable({ spec, metadata }: IPPool, node: Node): boolean {
  if (spec.disabled === true || metadata.deletionTimestamp !== undefined) return false;
  if (spec.allowedUses !== undefined && spec.allowedUses.length > 0) {
    if (!spec.allowedUses.includes("Tunnel")) return false;
  }
  return parseSelector(spec.nodeSelector ?? "all()").matches(
    new Map(Object.entries(node.metadata.labels ?? {})),
  );
}

function isFamily({ spec }: IPPool, family: 4 | 6): boolean {
  return spec.cidr.includes(":") === (family === 6);
}

function isOn(mode: string | undefined): boolean {
  return mode === "Always" || mode === "CrossSubnet";
}

function hasKey({ metadata }: Node, annotation: string): boolean {
  return Boolean(metadata.annotations?.[annotation]);
}
