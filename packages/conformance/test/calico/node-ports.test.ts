import { calico } from "@cnilab/calico";
import { createCluster } from "@cnilab/cluster";
import type { KubeObject, ProxyMode } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { expect, test } from "vitest";

interface Metadata {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
}

function object(apiVersion: string, kind: string, metadata: Metadata, spec: object): KubeObject {
  return { apiVersion, kind, metadata: { namespace: "default", ...metadata }, spec } as KubeObject;
}

const OBJECTS = [
  object(
    "v1",
    "Pod",
    { name: "web", labels: { app: "web" } },
    { nodeName: "node1", containers: [{ name: "c", ports: [{ containerPort: 80 }] }] },
  ),
  object(
    "v1",
    "Service",
    { name: "web" },
    { type: "NodePort", selector: { app: "web" }, ports: [{ port: 80, nodePort: 30080 }] },
  ),
];
const DENY = object(
  "projectcalico.org/v3",
  "NetworkPolicy",
  { name: "deny" },
  { selector: "app == 'web'", types: ["Ingress"] },
);

// kube-proxy accepts what it masquerades (KUBE-FORWARD): Felix must be asked before.
test.each<[ProxyMode, node: string]>([
  ["iptables", "192.168.0.11"],
  ["iptables", "192.168.0.12"],
  ["nftables", "192.168.0.11"],
  ["nftables", "192.168.0.12"],
])(
  "a policy holds for a node port, too: kube-proxy by %s, asked at %s",
  async (proxyMode, node) => {
    const cluster = createCluster({
      nodes: 2,
      cni: calico,
      config: { proxyMode },
      register: registerKubeProxy,
    });
    cluster.apply(OBJECTS);
    await cluster.settled();
    const ask = () =>
      cluster.connect({
        from: cluster.endpoint("192.168.5.5"),
        to: cluster.endpoint(`${node}:30080`),
      }).verdict;
    expect(ask()).toBe("allowed");
    cluster.apply([DENY]);
    await cluster.settled();
    expect(ask()).toBe("blocked");
  },
);
