// The shop on Calico in a virtual machine, whose kernel has the tunnels that this one may lack.
import { describe, test } from "vitest";
import { expectAgreementInSecondKernel } from "./systems/agreement.ts";
import { bringUpShop, CALICO_POLICIES, type CalicoShop } from "./systems/calico-shop.ts";
import { whyNoMachine } from "./systems/second-kernel.ts";

const missing = whyNoMachine();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const CLUSTERS: readonly CalicoShop[] = [
  {
    name: "IPIP, kube-proxy and Felix with iptables, and Calico's policies",
    options: { encapsulation: "IPIP", dataplane: "Iptables" },
    config: { proxyMode: "iptables" },
    files: [CALICO_POLICIES],
  },
  {
    name: "WireGuard over VXLAN, kube-proxy and Felix with nftables",
    options: { encapsulation: "VXLAN", wireguard: true, dataplane: "Nftables" },
    config: { proxyMode: "nftables" },
  },
];

describe.skipIf(missing !== undefined)(`the shop on Calico in a second kernel${why}`, () => {
  test.each(CLUSTERS)("with $name does what probe says", async (shop) => {
    const cluster = await bringUpShop(shop);
    await expectAgreementInSecondKernel(cluster, `calico${process.pid}`, 60);
  });
});
