import { calico } from "@cnilab/calico";
import { type Cluster, createCluster } from "@cnilab/cluster";
import type { ContainerPort, KubeObject } from "@cnilab/core";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { describe, expect, test } from "vitest";

function pod(name: string, node: string, port: ContainerPort): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default" },
    spec: { nodeName: node, containers: [{ name: "c", ports: [port] }] },
  } as KubeObject;
}

const WEB = pod("web", "node1", { containerPort: 8080, hostPort: 8000 });
const OWN = pod("own", "node1", { containerPort: 8080, hostPort: 8001, hostIP: "127.0.0.1" });
const DNS = pod("dns", "node1", { containerPort: 53, hostPort: 5300, protocol: "UDP" });
const FAR = pod("far", "node2", { containerPort: 9 });

interface Variant {
  readonly cni: "flannel" | "calico";
  readonly proxyMode: "iptables" | "nftables";
}

async function cluster(objects: readonly KubeObject[], { cni, proxyMode }: Variant) {
  const made = createCluster({
    nodes: 2,
    config: { proxyMode, ipFamilies: [4, 6] },
    ...(cni === "flannel"
      ? { cni: flannel }
      : { cni: calico, cniOptions: { encapsulation: "VXLAN" } }),
    register: (root) => registerKubeProxy(root),
  });
  made.apply(objects);
  await made.settled();
  return made;
}

function ask(of: Cluster, from: string, to: string, protocol: "TCP" | "UDP" = "TCP"): string {
  const { verdict, backend } = of.connect({
    from: of.endpoint(from),
    to: of.endpoint(to),
    protocol,
  });
  return backend === undefined ? verdict : `${verdict}: ${backend}`;
}

describe.each<Variant>([
  { cni: "flannel", proxyMode: "iptables" },
  { cni: "flannel", proxyMode: "nftables" },
  { cni: "calico", proxyMode: "iptables" },
  { cni: "calico", proxyMode: "nftables" },
])("host ports on $cni, kube-proxy by $proxyMode", (variant) => {
  test.each<[from: string, to: string, protocol: "TCP" | "UDP", expected: string]>([
    ["far", "192.168.0.11:8000", "TCP", "allowed: default/web"],
    ["far", "[fd00:192:168::b]:8000", "TCP", "allowed: default/web"],
    ["web", "192.168.0.11:8000", "TCP", "allowed: default/web"],
    ["node/node1", "192.168.0.11:8000", "TCP", "allowed: default/web"],
    ["node/node1", "127.0.0.1:8000", "TCP", "allowed: default/web"],
    ["node/node2", "192.168.0.11:8000", "TCP", "allowed: default/web"],
    ["node/node2", "192.168.0.12:8000", "TCP", "refused"],
    ["192.168.7.7", "192.168.0.11:8000", "TCP", "allowed: default/web"],
    ["internet", "192.168.0.11:8000", "TCP", "unreachable"],
    ["node/node1", "127.0.0.1:8001", "TCP", "allowed: default/own"],
    ["node/node2", "192.168.0.11:8001", "TCP", "refused"],
    ["far", "192.168.0.11:5300", "UDP", "allowed: default/dns"],
    ["far", "192.168.0.11:5300", "TCP", "refused"],
  ])("%s to %s by %s: %s", async (from, to, protocol, expected) => {
    const made = await cluster([WEB, OWN, DNS, FAR], variant);
    expect(ask(made, from, to, protocol)).toBe(expected);
  });

  test("a pod that goes gives its port back", async () => {
    const made = await cluster([WEB, FAR], variant);
    made.delete("Pod", "default/web");
    await made.settled();
    expect(ask(made, "far", "192.168.0.11:8000")).toBe("refused");
  });
});
