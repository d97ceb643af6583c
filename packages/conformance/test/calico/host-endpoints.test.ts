import { calico } from "@cnilab/calico";
import { createCluster } from "@cnilab/cluster";
import type { KubeObject } from "@cnilab/core";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { expect, test } from "vitest";

const hostEndpoint = (interfaceName: string): KubeObject =>
  ({
    apiVersion: "projectcalico.org/v3",
    kind: "HostEndpoint",
    metadata: { name: "machine" },
    spec: { node: "node1", interfaceName },
  }) as KubeObject;

test.each([
  ["Iptables", "*"],
  ["Iptables", "eth0"],
  ["Nftables", "*"],
  ["Nftables", "eth0"],
])(
  "what no policy allows is dropped in the name of the object: %s, interface %s",
  async (dataplane, interfaceName) => {
    const cluster = createCluster({
      nodes: 1,
      cni: calico,
      cniOptions: { dataplane },
      listen: "all",
      register: registerKubeProxy,
    });
    cluster.apply([hostEndpoint(interfaceName)]);
    await cluster.settled();
    const ask = (port: number) =>
      cluster.connect({
        from: cluster.endpoint("192.168.5.5"),
        to: cluster.endpoint("node/node1"),
        port,
      });
    expect(ask(22).verdict).toBe("allowed"); // A failsafe port.
    const { verdict, reason } = ask(9999);
    expect(verdict).toBe("blocked");
    expect(reason).toContain("HostEndpoint machine (ingress, no profile allows this)");
  },
);
