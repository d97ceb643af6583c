import type { Labels, Node } from "@cnilab/core";
import {
  addToIp,
  type IpAddress,
  type IpFamily,
  type Mac,
  Prefix,
  tryParseInterfaceAddress,
  tryParseIp,
  tryParseMac,
  tryParsePrefix,
} from "@cnilab/net";
import { NODE_ANNOTATIONS } from "./node-annotations.ts";

/** What a node has in one family. */
export interface NodeSide {
  /** The node's own address, and the subnet that its mask makes. */
  readonly address: IpAddress | undefined;
  readonly subnet: Prefix | undefined;
  readonly vxlanAddress: IpAddress | undefined;
  /** Set by hand; otherwise it follows from the node's name. */
  readonly vxlanMac: Mac | undefined;
  readonly wireguardAddress: IpAddress | undefined;
  readonly wireguardPublicKey: string | undefined;
}

/** A Kubernetes Node as Calico sees it (`libcalico-go/lib/backend/k8s/resources/node.go` K8sNodeToCalico). */
export interface NodeFacts {
  readonly name: string;
  readonly 4: NodeSide;
  readonly 6: NodeSide;
  /** Whether calico-node has written down an address: without, others know only the kubelet's. */
  readonly hasBgpAddress: boolean;
  readonly ipipAddress: IpAddress | undefined;
  /** Every address that the node is known by, its own included. */
  readonly addresses: readonly IpAddress[];
  readonly podCidrs: readonly Prefix[];
  readonly labels: Labels;
}

/**
 * @param usePodCidr with host-local IPAM the node's ranges are its blocks, and the tunnel has the second address of the first
 *   (getStaticTunnelAddress)
 */
export function nodeFacts(node: Node, usePodCidr = false): NodeFacts {
  const { name, annotations = {}, labels = {} } = node.metadata;
  const has = NODE_ANNOTATIONS;
  const bgp4 = addressWithSubnet(annotations[has.ipv4Address], 4);
  const bgp6 = addressWithSubnet(annotations[has.ipv6Address], 6);
  const hasBgpAddress = bgp4 !== undefined || bgp6 !== undefined;
  const podCidrs = podCidrsOf(node);
  const key = annotations[has.wireguardPublicKey];
  const fixed = usePodCidr ? staticTunnelAddress(podCidrs) : undefined;
  const own = (family: IpFamily) =>
    hasBgpAddress ? (family === 4 ? bgp4 : bgp6) : kubeletAddress(node, family);
  return {
    name,
    hasBgpAddress,
    4: {
      address: own(4)?.address,
      subnet: own(4)?.subnet,
      vxlanAddress: ipOf(annotations[has.ipv4VxlanTunnelAddr], 4),
      vxlanMac: tryParseMac(annotations[has.vxlanTunnelMacAddr] ?? ""),
      wireguardAddress:
        fixed === undefined ? ipOf(annotations[has.ipv4WireguardInterfaceAddr], 4) : key && fixed,
      wireguardPublicKey: key || undefined,
    } as NodeSide,
    6: {
      address: own(6)?.address,
      subnet: own(6)?.subnet,
      vxlanAddress: ipOf(annotations[has.ipv6VxlanTunnelAddr], 6),
      vxlanMac: tryParseMac(annotations[has.vxlanTunnelMacAddrV6] ?? ""),
      wireguardAddress: ipOf(annotations[has.ipv6WireguardInterfaceAddr], 6),
      wireguardPublicKey: annotations[has.wireguardPublicKeyV6] || undefined,
    },
    ipipAddress: fixed ?? ipOf(annotations[has.ipv4IpipTunnelAddr], 4),
    addresses: allAddresses(node, bgp4?.address, bgp6?.address),
    podCidrs,
    labels,
  };
}

interface OwnAddress {
  readonly address: IpAddress;
  readonly subnet: Prefix;
}

/** `192.168.0.11/16`, or an address alone, which is a subnet of its own. */
function addressWithSubnet(text: string | undefined, family: IpFamily): OwnAddress | undefined {
  if (text === undefined) return undefined;
  const found = tryParseInterfaceAddress(text);
  if (found !== undefined) {
    const subnet = new Prefix(found.address, found.length);
    return subnet.family === family ? { address: found.address, subnet } : undefined;
  }
  const address = ipOf(text, family);
  return address === undefined ? undefined : { address, subnet: Prefix.host(address) };
}

/** The internal address, or else the external one (`FindNodeAddress`). */
function kubeletAddress(node: Node, family: IpFamily): OwnAddress | undefined {
  for (const wanted of ["InternalIP", "ExternalIP"]) {
    for (const { type, address } of node.status?.addresses ?? []) {
      const own = type === wanted ? addressWithSubnet(address, family) : undefined;
      if (own !== undefined) return own;
    }
  }
  return undefined;
}

function allAddresses(node: Node, ...own: readonly (IpAddress | undefined)[]): IpAddress[] {
  const all = new Set(own.filter((a) => a !== undefined));
  for (const { type, address } of node.status?.addresses ?? []) {
    const ip = type === "InternalIP" || type === "ExternalIP" ? tryParseIp(address) : undefined;
    if (ip !== undefined) all.add(ip);
  }
  return [...all];
}

function podCidrsOf({ spec }: Node): Prefix[] {
  const texts = spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR]);
  return texts.map(tryParsePrefix).filter((p) => p !== undefined);
}

function staticTunnelAddress(podCidrs: readonly Prefix[]): IpAddress | undefined {
  const first = podCidrs[0];
  return first?.family === 4 ? addToIp(first.address, 1) : undefined;
}

function ipOf(text: string | undefined, family: IpFamily): IpAddress | undefined {
  const ip = text === undefined ? undefined : tryParseIp(text);
  return ip !== undefined && (typeof ip === "number") === (family === 4) ? ip : undefined;
}
