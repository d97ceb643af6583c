// Weave's fast datapath, encrypted, in a virtual machine, whose kernel has Open vSwitch and IPsec, which this one may lack.
import { describe, test } from "vitest";
import { expectAgreementInSecondKernel } from "./systems/agreement.ts";
import { whyNoMachine } from "./systems/second-kernel.ts";
import { bringUpShop, WEAVE_POLICIES } from "./systems/weave-shop.ts";

const missing = whyNoMachine("ovs-dpctl");
const why = missing === undefined ? "" : ` (skipped: ${missing})`;

describe.skipIf(missing !== undefined)(`the shop on Weave in a second kernel${why}`, () => {
  test("with encrypted fastdp does what probe says, by the flows that the model has made", async () => {
    const cluster = await bringUpShop({
      nodes: 3,
      options: { encryption: "not to be told" },
      config: { proxyMode: "iptables" },
      files: [WEAVE_POLICIES],
    });
    await expectAgreementInSecondKernel(cluster, `weave${process.pid}`, 60);
  });
});
