import { type Cluster, createCluster, type NameAnswer, parseManifests } from "@cnilab/cluster";
import type { ProxyMode } from "@cnilab/core";
import { nodeLocalAddress, registerCoreDns } from "@cnilab/dns";
import { flannel } from "@cnilab/flannel";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import type { IpFamily } from "@cnilab/net";
import { registerPolicyAgent } from "@cnilab/network-policy";

export interface DnsClusterOptions {
  readonly proxyMode?: ProxyMode;
  readonly ipFamilies?: readonly IpFamily[];
  readonly nodeLocal?: boolean;
  /** Whether somebody enforces policies. */
  readonly policies?: boolean;
  readonly seed?: number;
  /** Manifests beside a Service `web` of two pods, and a pod `client` on node1. */
  readonly objects?: string;
  /** Of the pod `client`, in YAML's flow style: `dnsConfig: {…}`. */
  readonly clientSpec?: string;
  /** `curl` where it is absent. */
  readonly clientImage?: string;
}

function objects(more: string, clientSpec: string, image: string): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx, ports: [{name: http, containerPort: 80}]}]}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, labels: {app: client}}, spec: {nodeName: node1, ${
    clientSpec === "" ? "" : `${clientSpec}, `
  }containers: [{name: c, image: "${image}"}]}}
${more === "" ? "" : `---\n${more}`}`;
}

/** Flannel, kube-proxy and CoreDNS as kubeadm sets them up, on two nodes. */
export function dnsCluster(options: DnsClusterOptions = {}): Cluster {
  const { proxyMode = "iptables", ipFamilies = [4], nodeLocal = false } = options;
  const cluster = createCluster({
    cni: flannel,
    nodes: 2,
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    config: {
      proxyMode,
      ipFamilies,
      ...(nodeLocal && proxyMode === "ipvs" ? { clusterDns: [nodeLocalAddress(ipFamilies)] } : {}),
    },
    register: (root) => {
      registerKubeProxy(root);
      registerCoreDns(root, { nodeLocal });
      if (options.policies === true) registerPolicyAgent(root);
    },
  });
  const text = objects(
    options.objects ?? "",
    options.clientSpec ?? "",
    options.clientImage ?? "curl",
  );
  cluster.apply(parseManifests(text, "objects.yaml").objects);
  cluster.settle();
  return cluster;
}

/** What a pod's resolver gets for a name. @throws where the pod does not run */
export function lookUp(cluster: Cluster, pod: string, name: string, type?: string): NameAnswer {
  const found = cluster.lookUp(cluster.endpoint(pod), name, { type });
  if ("verdict" in found) throw new Error(found.reason);
  return found;
}
