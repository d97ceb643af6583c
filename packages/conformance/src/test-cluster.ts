import { registerCloud } from "@cnilab/cloud";
import { type Cluster, createCluster } from "@cnilab/cluster";
import { type KubeObject, objectKey, type Pod } from "@cnilab/core";
import { registerCoreDns } from "@cnilab/dns";
import { registerGateway, registerIngress } from "@cnilab/gateway";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { Subject } from "./check.ts";

/** Three nodes with two pods each, a Service before all of them, CoreDNS, and a cloud's load balancers. */
export async function testCluster(subject: Subject): Promise<Cluster> {
  const { model, options, ipFamilies, proxyMode } = subject;
  const cluster = createCluster({
    nodes: 3,
    cni: model,
    ...(options === undefined ? {} : { cniOptions: options }),
    config: {
      ...(ipFamilies === undefined ? {} : { ipFamilies }),
      ...(proxyMode === undefined ? {} : { proxyMode }),
    },
    register: (root) => {
      if (model.replacesKubeProxy?.(options ?? {}) !== true) registerKubeProxy(root);
      registerCoreDns(root);
      registerCloud(root);
      registerIngress(root);
      registerGateway(root);
    },
  });
  const pods = [1, 2, 3].flatMap((node) => ["a", "b"].map((name) => pod(`${name}${node}`, node)));
  cluster.apply([...pods, SERVICE]);
  await cluster.settled();
  return cluster;
}

/** Pods of the cluster that have addresses, by name. */
export function pods(cluster: Cluster): Pod[] {
  return [...cluster.api.list("Pod", "default")].sort((x, y) =>
    objectKey(x) < objectKey(y) ? -1 : 1,
  );
}

export function addressesOf(pod: Pod): string[] {
  return (pod.status?.podIPs ?? []).map(({ ip }) => ip);
}

export function pod(name: string, node: number): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: "echo" } },
    spec: {
      nodeName: `node${node}`,
      containers: [
        {
          name: "echo",
          image: "echo",
          ports: [
            { name: "tcp", containerPort: 8080, protocol: "TCP" },
            { name: "udp", containerPort: 8080, protocol: "UDP" },
            { name: "sctp", containerPort: 8080, protocol: "SCTP" },
          ],
        },
      ],
    },
  } as KubeObject;
}

const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "echo", namespace: "default" },
  spec: {
    selector: { app: "echo" },
    ipFamilyPolicy: "PreferDualStack",
    ports: [
      { name: "tcp", port: 80, targetPort: 8080, protocol: "TCP" },
      { name: "udp", port: 80, targetPort: 8080, protocol: "UDP" },
      { name: "sctp", port: 80, targetPort: 8080, protocol: "SCTP" },
    ],
  },
} as KubeObject;
