// The shop on Weave, realised in namespaces of this machine: everybody asks everybody.
import type { Cluster } from "@cnilab/cluster";
import { whyNotHere } from "@cnilab/realize";
import { describe, test } from "vitest";
import { expectAgreement } from "./systems/agreement.ts";
import { bringUpShop, POLICIES, WEAVE_POLICIES, type WeaveShop } from "./systems/weave-shop.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

/** The switch that stands for sleeve takes any frame: with this one, sleeve does as well. */
const MTU = 1400;
const PCAP_PORT = "vethwe-pcap";

const CLUSTERS: readonly (WeaveShop & { readonly name: string })[] = [
  {
    name: "one node, kube-proxy with iptables, and policies",
    nodes: 1,
    options: { fastdp: false },
    config: { proxyMode: "iptables" },
    files: [POLICIES],
  },
  {
    name: "three nodes, kube-proxy with iptables, and policies",
    nodes: 3,
    options: { fastdp: false, mtu: MTU },
    config: { proxyMode: "iptables" },
    files: [POLICIES],
  },
  {
    name: "three nodes, kube-proxy with nftables, and other policies",
    nodes: 3,
    options: { fastdp: false, mtu: MTU, "no-masq-local": false },
    config: { proxyMode: "nftables" },
    files: [WEAVE_POLICIES],
  },
  {
    name: "three nodes without weave-npc",
    nodes: 3,
    options: { fastdp: false, mtu: MTU, "expect-npc": false },
    config: { proxyMode: "iptables" },
    files: [POLICIES],
  },
];

describe.skipIf(missing !== undefined)(`the shop on Weave in real namespaces${why}`, () => {
  // One after the other: all namespaces of a machine share room for 1,024 neighbours (neigh/default/gc_thresh3), and on Weave
  // each pod is a neighbour of all others.
  test.each(CLUSTERS)("with $name does what probe says", async (shop) => {
    const cluster = await bringUpShop(shop);
    const prefix = `weave${process.pid}-${CLUSTERS.indexOf(shop)}`;
    await expectAgreement(cluster, prefix, 400, () => joinBridges(cluster, prefix));
  });
});

/**
 * Sleeve is a program, which has nothing to do with what bridges and rules do: in its place the nodes' `vethwe-pcap` are ports of
 * one switch.
 */
function joinBridges(cluster: Cluster, prefix: string): string {
  const overlay = `${prefix}..overlay`;
  return [
    `netns ${overlay}`,
    `ip netns exec ${overlay} sysctl -qw net.bridge.bridge-nf-call-iptables=0`,
    `ip -n ${overlay} link add name wire type bridge mcast_snooping 0`,
    `ip -n ${overlay} link set dev wire up`,
    ...[...cluster.nodes.keys()].flatMap((node, i) => [
      `ip -n ${prefix}.${node} link set dev ${PCAP_PORT} netns ${overlay} name wire${i}`,
      `ip -n ${overlay} link set dev wire${i} master wire up`,
    ]),
    "",
  ].join("\n");
}
