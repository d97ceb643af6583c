import type { KubeObject, Node } from "@cnilab/core";
import { addToIp, formatIp, parsePrefix } from "@cnilab/net";
import type { IPPool } from "../../src/api/v3/ip-pool.ts";
import type { IPAMBlock } from "../../src/api/v3/ipam.ts";
import { blockRoutes } from "../../src/calc/l3-routes/block-routes.ts";
import { L3Routes } from "../../src/calc/l3-routes/l3-routes.ts";
import { NODE_ANNOTATIONS } from "../../src/calc/l3-routes/node-annotations.ts";
import { nodeFacts } from "../../src/calc/l3-routes/node-facts.ts";
import { poolFacts } from "../../src/calc/l3-routes/pool-facts.ts";
import { routeUpdates } from "../../src/calc/l3-routes/route-update.ts";
import { vxlanTunnelEndpoint } from "../../src/calc/l3-routes/vteps.ts";
import { RouteType } from "../../src/calc/messages.ts";
import type { GoldenRun } from "./golden-run.ts";

interface RoutesVector {
  readonly node: string;
  readonly resources: readonly KubeObject[];
  readonly blocks: readonly BlockVector[] | null;
  readonly routes: readonly Record<string, unknown>[] | null;
  readonly vteps: readonly Record<string, unknown>[] | null;
}

interface BlockVector {
  readonly cidr: string;
  readonly affinity: string;
  /** Node by address. */
  readonly alloc?: Readonly<Record<string, string>>;
}

export const routes: GoldenRun<RoutesVector> = (vector) => {
  const ofKind = <T extends KubeObject>(kind: string) =>
    vector.resources.filter((r) => r.kind === kind) as unknown as readonly T[];
  const nodes = ofKind<CalicoNode>("Node").map((n) => nodeFacts(kubeNode(n)));
  const pools = ofKind<IPPool>("IPPool")
    .map(poolFacts)
    .filter((p) => p !== undefined);
  const blocks = (vector.blocks ?? []).map((b) => blockRoutes(ipamBlock(b)));
  // Blocks are looked at only where something is made of them (calc_graph.go, Encapsulation).
  const isOn = pools.some((p) => p.vxlan || p.ipip);
  const all = new L3Routes(nodes, pools, blocks);
  const workloads = ofKind<PodVector>("Pod")
    .filter((p) => p.spec.nodeName === vector.node && p.status?.podIP !== undefined)
    .map((p) => ({ dst: parsePrefix(`${p.status?.podIP}/32`), node: vector.node }));
  const sent = isOn ? routeUpdates(all, vector.node, workloads) : [];
  const vteps = pools.some((p) => p.vxlan) ? nodes.map(vxlanTunnelEndpoint) : [];
  const expected = (vector.routes ?? []).map((r) => ({ ...r, types: typeBits(r["types"]) }));
  return (
    difference("routes", expected, sent.map(withoutNone), "dst") ??
    difference(
      "vteps",
      vector.vteps ?? [],
      vteps.filter((v) => v !== undefined),
      "node",
    )
  );
};

interface CalicoNode extends KubeObject {
  readonly spec?: {
    readonly bgp?: Readonly<Record<string, string>>;
    readonly addresses?: readonly { readonly address: string; readonly type?: string }[];
    readonly wireguard?: Readonly<Record<string, string>>;
    readonly [field: string]: unknown;
  };
  readonly status?: Readonly<Record<string, string>>;
}

interface PodVector extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly podIP?: string };
}

/** A Node of Calico's own API as it is kept on a Kubernetes Node. */
function kubeNode({ metadata, spec = {}, status = {} }: CalicoNode): Node {
  const fields: [string, unknown][] = [
    [NODE_ANNOTATIONS.ipv4Address, spec.bgp?.["ipv4Address"]],
    [NODE_ANNOTATIONS.ipv6Address, spec.bgp?.["ipv6Address"]],
    [NODE_ANNOTATIONS.ipv4IpipTunnelAddr, spec.bgp?.["ipv4IPIPTunnelAddr"]],
    [NODE_ANNOTATIONS.ipv4VxlanTunnelAddr, spec["ipv4VXLANTunnelAddr"]],
    [NODE_ANNOTATIONS.ipv6VxlanTunnelAddr, spec["ipv6VXLANTunnelAddr"]],
    [NODE_ANNOTATIONS.vxlanTunnelMacAddr, spec["vxlanTunnelMACAddr"]],
    [NODE_ANNOTATIONS.vxlanTunnelMacAddrV6, spec["vxlanTunnelMACAddrV6"]],
    [NODE_ANNOTATIONS.ipv4WireguardInterfaceAddr, spec.wireguard?.["interfaceIPv4Address"]],
    [NODE_ANNOTATIONS.ipv6WireguardInterfaceAddr, spec.wireguard?.["interfaceIPv6Address"]],
    [NODE_ANNOTATIONS.wireguardPublicKey, status["wireguardPublicKey"]],
    [NODE_ANNOTATIONS.wireguardPublicKeyV6, status["wireguardPublicKeyV6"]],
  ];
  const annotations = Object.fromEntries(fields.filter(([, v]) => v)) as Record<string, string>;
  const addresses = (spec.addresses ?? []).map(({ address, type }) => ({
    type: type === "ExternalIP" ? ("ExternalIP" as const) : ("InternalIP" as const),
    address: address.replace(/\/\d+$/, ""),
  }));
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { ...metadata, annotations },
    status: { addresses },
  };
}

function ipamBlock({ cidr, affinity, alloc = {} }: BlockVector): IPAMBlock {
  const { address, size } = parsePrefix(cidr);
  const texts = Array.from({ length: Number(size) }, (_, i) => formatIp(addToIp(address, i)));
  const nodes = [...new Set(Object.values(alloc))];
  return {
    apiVersion: "crd.projectcalico.org/v1",
    kind: "IPAMBlock",
    metadata: { name: cidr.replace(/[.:/]/g, "-") },
    spec: {
      cidr,
      ...(affinity !== "" && { affinity }),
      allocations: texts.map((t) => (alloc[t] === undefined ? null : nodes.indexOf(alloc[t]))),
      unallocated: [],
      attributes: nodes.map((node) => ({ secondary: { node } })),
    },
  };
}

/** Names or a number, as protojson gives them. */
function typeBits(types: unknown): number {
  if (typeof types === "number" || types === undefined) return (types as number | undefined) ?? 0;
  return RouteType[types as keyof typeof RouteType];
}

function withoutNone(route: object): object {
  const { ipPoolType, ...rest } = route as { ipPoolType: string };
  return ipPoolType === "NONE" ? rest : route;
}

function difference(
  what: string,
  expected: readonly object[],
  found: readonly object[],
  key: string,
): string | undefined {
  const text = (list: readonly object[]) =>
    list.map((x) => `${(x as Record<string, string>)[key]} ${sorted(x)}`).sort();
  const [want, have] = [text(expected), text(found)];
  const missing = want.filter((line) => !have.includes(line));
  const extra = have.filter((line) => !want.includes(line));
  if (missing.length + extra.length === 0) return undefined;
  return [what, ...missing.map((l) => `- ${l}`), ...extra.map((l) => `+ ${l}`)].join("\n");
}

function sorted(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).sort(([x], [y]) => (x < y ? -1 : 1));
  return `{${fields.map(([k, v]) => `${k}:${sorted(v)}`).join()}}`;
}
