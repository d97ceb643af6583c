// The shop on Calico, realised in namespaces of this machine: everybody asks everybody.
import { whyNotHere } from "@cnilab/realize";
import { describe, test } from "vitest";
import { expectAgreement } from "./systems/agreement.ts";
import { bringUpShop, CALICO_POLICIES, type CalicoShop, POLICIES } from "./systems/calico-shop.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const CLUSTERS: readonly CalicoShop[] = [
  {
    name: "VXLAN, kube-proxy and Felix with iptables, and Calico's policies",
    options: { encapsulation: "VXLAN", dataplane: "Iptables" },
    config: { proxyMode: "iptables" },
    files: [CALICO_POLICIES],
  },
  {
    name: "no encapsulation, kube-proxy and Felix with nftables, and Calico's policies",
    options: { encapsulation: "None", dataplane: "Nftables" },
    config: { proxyMode: "nftables" },
    files: [CALICO_POLICIES],
  },
  {
    name: "VXLANCrossSubnet, nftables, Felix with iptables",
    options: { encapsulation: "VXLANCrossSubnet", dataplane: "Iptables" },
    config: { proxyMode: "nftables" },
  },
  {
    name: "no encapsulation, iptables, Felix with nftables, and policies of Kubernetes",
    options: { encapsulation: "None", dataplane: "Nftables" },
    config: { proxyMode: "iptables" },
    files: [POLICIES],
  },
  {
    name: "VXLAN, kube-proxy and Felix with nftables, two families",
    options: { encapsulation: "VXLAN", dataplane: "Nftables" },
    config: { proxyMode: "nftables", ipFamilies: [4, 6] },
  },
  {
    name: "no encapsulation, iptables, two families and policies of Kubernetes",
    options: { encapsulation: "None", dataplane: "Iptables" },
    config: { proxyMode: "iptables", ipFamilies: [4, 6] },
    files: [POLICIES],
  },
];

describe.skipIf(missing !== undefined)(`the shop on Calico in real namespaces${why}`, () => {
  // At once, as each waits most of the time.
  test.concurrent.each(CLUSTERS)("with $name does what probe says", async (shop) => {
    const cluster = await bringUpShop(shop);
    await expectAgreement(cluster, `calico${process.pid}-${CLUSTERS.indexOf(shop)}`, 700);
  });
});
