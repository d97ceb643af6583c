import { expect, test } from "vitest";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "./config.ts";
import { localTraffic } from "./local-traffic.ts";

const CIDRS = ["10.244.0.0/16", "fd00:10:244::/48"];

// The first: iptables arguments that match packets of the node's own pods.
test.each<[string | undefined, string | undefined, Partial<KubeProxyConfig>, 4 | 6]>([
  ["-s 10.244.0.0/16", "! -s 10.244.0.0/16", { clusterCIDRs: CIDRS }, 4],
  ["-s fd00:10:244::/48", "! -s fd00:10:244::/48", { clusterCIDRs: CIDRS }, 6],
  [undefined, undefined, { clusterCIDRs: ["10.244.0.0/16"] }, 6],
  [undefined, undefined, {}, 4],
  [
    "-s 10.244.1.0/24",
    "! -s 10.244.1.0/24",
    { detectLocalMode: "NodeCIDR", clusterCIDRs: CIDRS },
    4,
  ],
  [undefined, undefined, { detectLocalMode: "NodeCIDR", clusterCIDRs: CIDRS }, 6],
  ["-i cni0", "! -i cni0", { detectLocalMode: "BridgeInterface", bridgeInterface: "cni0" }, 6],
  [undefined, undefined, { detectLocalMode: "BridgeInterface" }, 4],
  [
    "-i veth+",
    "! -i veth+",
    { detectLocalMode: "InterfaceNamePrefix", interfaceNamePrefix: "veth" },
    4,
  ],
  [undefined, undefined, { detectLocalMode: "InterfaceNamePrefix" }, 4],
])("%s: not %s", (ifLocal, ifNotLocal, config, family) => {
  const local = localTraffic({ ...DEFAULT_CONFIG, ...config }, ["10.244.1.0/24"], family);
  expect([local?.ifLocal, local?.ifNotLocal]).toEqual([ifLocal, ifNotLocal]);
});
