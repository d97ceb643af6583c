import type { CniOptionValues } from "@cnilab/core";
import { describe, expect, test } from "vitest";
import { ciliumLab } from "./lab.ts";

const DIRECT = { routingMode: "native", autoDirectNodeRoutes: true };
const BPF = { kubeProxyReplacement: true, "bpf.masquerade": true };
const AGENT = { ...BPF, "ipMasqAgent.enabled": true };
const LIST = "ipMasqAgent.config.nonMasqueradeCIDRs";

const NODE = "172.18.0.2";
const ROUTER = "10.244.0.150";
const POD = "10.244.0.174";

/** Who a server sees: of a pod outside and on another node, and of a node in another node's pod. */
interface Seen {
  readonly outside: string;
  readonly byNode: string;
  readonly byPod: string;
}

describe("whom servers see", () => {
  test.each<[string, CniOptionValues, Seen]>([
    ["tunnels, iptables", {}, { outside: NODE, byNode: NODE, byPod: ROUTER }],
    ["native, iptables", DIRECT, { outside: NODE, byNode: POD, byPod: NODE }],
    [
      "endpoint routes",
      { "endpointRoutes.enabled": true },
      { outside: NODE, byNode: NODE, byPod: ROUTER },
    ],
    ["tunnels, eBPF", BPF, { outside: NODE, byNode: NODE, byPod: ROUTER }],
    ["native, eBPF", { ...DIRECT, ...BPF }, { outside: NODE, byNode: POD, byPod: NODE }],
    [
      "no masquerading",
      { enableIPv4Masquerade: false },
      { outside: POD, byNode: POD, byPod: ROUTER },
    ],
    [
      "ip-masq-agent with its own list",
      { ...DIRECT, ...AGENT },
      { outside: POD, byNode: POD, byPod: NODE },
    ],
    [
      "ip-masq-agent with another list",
      { ...DIRECT, ...AGENT, [LIST]: "10.0.0.0/8" },
      { outside: NODE, byNode: POD, byPod: NODE },
    ],
  ])("%s", (_, options, expected) => {
    const cluster = ciliumLab({ options, nodes: [NODE, "172.18.0.3"] });
    const seen = (from: string, to: string, port: number) => {
      const ends = { from: cluster.endpoint(from), to: cluster.endpoint(to) };
      const { verdict, seenAs, reason } = cluster.connect({ ...ends, port, protocol: "TCP" });
      return verdict === "allowed" ? seenAs : reason;
    };
    expect({
      outside: seen("a1", "203.0.113.9", 80),
      byNode: seen("a1", "node/node-b", 10_250),
      byPod: seen("node/node-a", "b1", 8080),
    }).toEqual(expected);
  });
});
