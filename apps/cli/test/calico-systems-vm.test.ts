// The shop on Calico in a virtual machine, whose kernel has the tunnels that this one may lack.
import { describe, test } from "vitest";
import { expectAgreementInSecondKernel } from "./systems/agreement.ts";
import { bringUpShop, type CalicoShop } from "./systems/calico-shop.ts";
import { whyNoMachine } from "./systems/second-kernel.ts";

const missing = whyNoMachine();
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

const CLUSTERS: readonly CalicoShop[] = [
  {
    name: "IPIP and iptables",
    options: { encapsulation: "IPIP" },
    config: { proxyMode: "iptables" },
  },
];

describe.skipIf(missing !== undefined)(`the shop on Calico in a second kernel${why}`, () => {
  test.each(CLUSTERS)("with $name does what probe says", { timeout: 1_200_000 }, async (shop) => {
    const cluster = await bringUpShop(shop);
    await expectAgreementInSecondKernel(cluster, `calico${process.pid}`, 300);
  });
});
