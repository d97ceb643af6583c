// The shop on Calico, realised in namespaces of this machine: everybody asks everybody.
import { whyNotHere } from "@cnilab/realize";
import { describe, test } from "vitest";
import { expectAgreement } from "./systems/agreement.ts";
import { bringUpShop, type CalicoShop } from "./systems/calico-shop.ts";

const missing = whyNotHere();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const CLUSTERS: readonly CalicoShop[] = [
  {
    name: "VXLAN and iptables",
    options: { encapsulation: "VXLAN" },
    config: { proxyMode: "iptables" },
  },
  {
    name: "VXLANCrossSubnet and nftables",
    options: { encapsulation: "VXLANCrossSubnet" },
    config: { proxyMode: "nftables" },
  },
  {
    name: "VXLAN and nftables with two families",
    options: { encapsulation: "VXLAN" },
    config: { proxyMode: "nftables", ipFamilies: [4, 6] },
  },
  {
    name: "VXLANCrossSubnet and iptables with two families",
    options: { encapsulation: "VXLANCrossSubnet" },
    config: { proxyMode: "iptables", ipFamilies: [4, 6] },
  },
];

describe.skipIf(missing !== undefined)(`the shop on Calico in real namespaces${why}`, () => {
  test.each(CLUSTERS)("with $name does what probe says", { timeout: 300_000 }, async (shop) => {
    const cluster = await bringUpShop(shop);
    await expectAgreement(cluster, `calico${process.pid}`, 1000);
  });
});
