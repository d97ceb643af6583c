// The commands that make and change kube-proxy's tables, to the nft and kernel of this machine: they
// take them, and list what the model lists.
import { spawnSync } from "node:child_process";
import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, Network, Nftables, NftTableLayer } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { DEFAULT_CONFIG, type KubeProxyConfig, StandAloneKubeProxy } from "../src/index.ts";
import { service, slice } from "./objects.ts";

const NAMESPACE = `nftproxy${process.pid}`;
const PROBE = `ip netns add ${NAMESPACE}; ip netns exec ${NAMESPACE} nft --version; ip netns del ${NAMESPACE}`;
const version = spawnSync("sh", ["-ec", PROBE], { encoding: "utf8" }).stdout;
const missing = version.includes("v1.0.6 ") ? "" : " (skipped: needs root, ip and nft 1.0.6)";

const WEB = service("web", {
  type: "NodePort",
  clusterIP: "10.96.0.1",
  externalIPs: ["203.0.113.1"],
  externalTrafficPolicy: "Local",
  ports: [{ port: 80, nodePort: 30_080, protocol: "TCP" }],
});
const STICKY = service("web", {
  clusterIP: "10.96.0.1",
  sessionAffinity: "ClientIP",
  ports: [{ port: 80 }],
});
const STICKIER = service("web", {
  ...STICKY.spec,
  sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
});
const LB = service(
  "lb",
  {
    type: "LoadBalancer",
    clusterIP: "10.96.0.2",
    loadBalancerSourceRanges: ["10.0.0.0/8", "10.1.0.0/16", "192.168.100.0/24"],
    ports: [{ port: 53, protocol: "UDP" }],
  },
  { ingress: ["198.18.0.1"] },
);
const V6 = service("six", { clusterIP: "fd00:96::1", ports: [{ port: 80, protocol: "SCTP" }] });
const THREE = slice("web", [{ port: 8080 }], ["10.244.1.10@n1", "10.244.1.9@n1", "10.244.2.10"]);
const ONE = slice("web", [{ port: 8080 }], ["10.244.2.10@n2"]);
const LB_SLICE = slice("lb", [{ port: 53, protocol: "UDP" }], ["10.244.1.20@n1"]);
const V6_SLICE = slice("six", [{ port: 80, protocol: "SCTP" }], ["fd00:244::10"]);

describe.skipIf(missing !== "")(`the real nft${missing}`, () => {
  beforeEach(() => {
    spawnSync("ip", ["netns", "add", NAMESPACE]);
  });
  afterEach(() => {
    vi.restoreAllMocks();
    spawnSync("ip", ["netns", "del", NAMESPACE]);
  });

  test.each<[string, Partial<KubeProxyConfig>, (readonly KubeObject[])[]]>([
    ["endpoints come and go", {}, [[WEB, THREE], [WEB, ONE], [WEB], [WEB, THREE], []]],
    [
      "affinity comes, changes and goes",
      {},
      [
        [STICKY, THREE],
        [STICKIER, THREE],
        [WEB, THREE],
      ],
    ],
    ["overlapping source ranges", {}, [[LB], [LB, LB_SLICE], [WEB, THREE]]],
    ["both families", { masqueradeAll: true }, [[V6], [V6, V6_SLICE, WEB, ONE]]],
    ["all addresses have node ports", { nodePortAddresses: ["0.0.0.0/0", "::/0"] }, [[WEB, THREE]]],
    ["a bridge", { detectLocalMode: "BridgeInterface", bridgeInterface: "cni0" }, [[WEB, THREE]]],
    [
      "names of devices",
      { detectLocalMode: "InterfaceNamePrefix", interfaceNamePrefix: "veth" },
      [[WEB, THREE]],
    ],
  ])("%s", (_, settings, inputs) => {
    const given: string[] = [];
    const { parse } = NftTableLayer;
    vi.spyOn(NftTableLayer, "parse").mockImplementation((text, options) => {
      given.push(text);
      return parse(text, options);
    });
    const derive = NftTableLayer.prototype.with;
    vi.spyOn(NftTableLayer.prototype, "with").mockImplementation(function (
      this: NftTableLayer,
      text,
      options,
    ) {
      given.push(text);
      return derive.call(this, text, options);
    });
    const apply = Nftables.prototype.apply;
    vi.spyOn(Nftables.prototype, "apply").mockImplementation(function (
      this: Nftables,
      text,
      options,
    ) {
      given.push(text);
      apply.call(this, text, options);
    });
    const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "n1");
    const eth0 = new Dummy(initNs, { name: "eth0" });
    eth0.setUp();
    eth0.addAddress(parseIp("192.168.100.11"), 24);
    const config = { ...DEFAULT_CONFIG, clusterCIDRs: ["10.244.0.0/16"], ...settings };
    const proxy = new StandAloneKubeProxy(initNs, "n1", { ...config, mode: "nftables" });
    for (const objects of inputs) {
      proxy.apply([NODE, ...objects]);
      for (const commands of given.splice(0)) expect(nft(["-f", "-"], `${commands}\n`)).toBe("");
      expect(initNs.nftables.list()).toBe(nft(["-s", "list", "ruleset"]));
    }
  });
});

const NODE: KubeObject = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "n1" },
  status: { addresses: [{ type: "InternalIP", address: "192.168.100.11" }] },
} as KubeObject;

/** What it prints, errors included. */
function nft(args: readonly string[], input = ""): string {
  const command = ["netns", "exec", NAMESPACE, "nft", ...args];
  const { stdout, stderr } = spawnSync("ip", command, { input, encoding: "utf8" });
  return stdout + stderr;
}
