import type { Node } from "@cnilab/core";
import {
  formatIp,
  type IpAddress,
  type IpFamily,
  Prefix,
  tryParseInterfaceAddress,
  tryParsePrefix,
} from "@cnilab/net";
import type { ASNumber } from "../api/v3/bgp-configuration.ts";
import { NODE_ANNOTATIONS } from "../calc/l3-routes/node-annotations.ts";

/** Keeps a node from advertising Services (KEP-1959's label; Calico looks for the value `true`). */
const EXCLUDE_LABEL = "node.kubernetes.io/exclude-from-external-load-balancers";

/** What confd knows of a node in one family. */
export interface BgpNodeSide {
  readonly address: IpAddress;
  readonly subnet: Prefix;
  readonly hasWireguard: boolean;
}

/** A node as BGP is concerned with it. */
export interface BgpNode {
  readonly name: string;
  readonly 4: BgpNodeSide | undefined;
  readonly 6: BgpNodeSide | undefined;
  /** The cluster's where it is absent. */
  readonly asNumber: number | undefined;
  /** Of a route reflector: an IPv4 address as text. */
  readonly clusterId: string | undefined;
  readonly labels: ReadonlyMap<string, string>;
  readonly advertisesServices: boolean;
  /** Blocks of a node that has no others (host-local IPAM). */
  readonly podCidrs: readonly Prefix[];
  /** All of it: whose text is the same is the same. */
  readonly text: string;
}

/** `libcalico-go/lib/backend/k8s/resources/node.go`, `…/updateprocessors/bgpnodeprocessor.go`. */
export function bgpNode({ metadata, spec }: Node, usePodCidr: boolean): BgpNode {
  const { name, annotations = {}, labels = {} } = metadata;
  const has = NODE_ANNOTATIONS;
  const podCidrs = usePodCidr
    ? (spec?.podCIDRs ?? (spec?.podCIDR === undefined ? [] : [spec.podCIDR])).flatMap(
        (cidr) => tryParsePrefix(cidr) ?? [],
      )
    : [];
  const node = {
    name,
    4: side(annotations[has.ipv4Address], annotations[has.ipv4WireguardInterfaceAddr], 4),
    6: side(annotations[has.ipv6Address], annotations[has.ipv6WireguardInterfaceAddr], 6),
    asNumber: asNumber(annotations[has.asNumber]),
    clusterId: annotations[has.routeReflectorClusterId] || undefined,
    labels: new Map(Object.entries(labels)),
    advertisesServices: labels[EXCLUDE_LABEL] !== "true",
    podCidrs,
  };
  const sideText = (s: BgpNodeSide | undefined) =>
    s && `${formatIp(s.address)}/${s.subnet.length} ${s.hasWireguard}`;
  const text = JSON.stringify([
    sideText(node[4]),
    sideText(node[6]),
    node.asNumber,
    node.clusterId,
    [...node.labels],
    podCidrs.map(String),
  ]);
  return { ...node, text };
}

function side(
  text: string | undefined,
  wireguard: string | undefined,
  family: IpFamily,
): BgpNodeSide | undefined {
  if (text === undefined) return undefined;
  const whole = text.includes("/") ? text : `${text}/${family === 4 ? 32 : 128}`;
  const parsed = tryParseInterfaceAddress(whole);
  if (parsed === undefined) return undefined;
  const { address, length } = parsed;
  return {
    address,
    subnet: new Prefix(address, length),
    hasWireguard: wireguard !== undefined && wireguard !== "",
  };
}

/** A number, its text, or two halves with a dot between them; `undefined` where it is none. */
export function asNumber(value: ASNumber | undefined): number | undefined {
  if (typeof value === "number") return value;
  const halves = value?.split(".") ?? [];
  if (halves.length === 0 || halves.length > 2 || !halves.every((h) => /^\d+$/.test(h))) {
    return undefined;
  }
  const [high = 0, low] = halves.map(Number);
  return low === undefined ? high : high * 65536 + low;
}
