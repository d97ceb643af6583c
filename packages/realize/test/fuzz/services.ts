import type { Endpoint, EndpointSlice, KubeObject, Node, Service } from "@cnilab/core";
import { DEFAULT_CONFIG, StandAloneKubeProxy } from "@cnilab/kube-proxy";
import type { NetNamespace } from "@cnilab/linux";

/** A Service that the kube-proxy of a namespace programs beside those that came before. */
export interface ServiceStep {
  readonly do: "service";
  readonly netns: string;
  readonly mode: "iptables" | "nftables";
  readonly name: string;
  readonly family: 4 | 6;
  readonly protocol: "TCP" | "UDP";
  readonly targetPort: number;
  readonly clusterIP: string;
  readonly nodePort?: number;
  readonly externalIP?: string;
  readonly loadBalancerIP?: string;
  readonly sourceRanges?: readonly string[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  readonly affinity: boolean;
  readonly endpoints: readonly ServiceEndpoint[];
}

export interface ServiceEndpoint {
  readonly address: string;
  /** Whether it is on the node that the kube-proxy is for. */
  readonly local: boolean;
  readonly state: "ready" | "not ready" | "serving" | "terminating";
}

const NODE = "node";

/** The kube-proxies of a case, one a namespace. */
export class ServiceNodes {
  readonly #proxies: Map<NetNamespace, StandAloneKubeProxy> = new Map();
  readonly #objects: Map<NetNamespace, KubeObject[]> = new Map();

  /** @param primary the node's own addresses */
  add(netns: NetNamespace, step: ServiceStep, primary: readonly string[]): void {
    let objects = this.#objects.get(netns);
    if (objects === undefined) {
      objects = [nodeOf(primary)];
      this.#objects.set(netns, objects);
    }
    objects.push(serviceOf(step), sliceOf(step));
    let proxy = this.#proxies.get(netns);
    if (proxy === undefined) {
      const clusterCIDRs = ["10.0.0.0/16", "fd00::/48"];
      const config = { ...DEFAULT_CONFIG, mode: step.mode, clusterCIDRs };
      proxy = new StandAloneKubeProxy(netns, NODE, config);
      this.#proxies.set(netns, proxy);
    }
    proxy.apply(objects);
  }
}

function nodeOf(addresses: readonly string[]): Node {
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: NODE },
    spec: {},
    status: { addresses: addresses.map((address) => ({ type: "InternalIP", address })) },
  };
}

function serviceOf(step: ServiceStep): Service {
  const { name, protocol, targetPort, clusterIP, nodePort, externalIP, loadBalancerIP } = step;
  const type =
    loadBalancerIP !== undefined
      ? "LoadBalancer"
      : nodePort === undefined
        ? "ClusterIP"
        : "NodePort";
  const port = { port: 80, targetPort, protocol, ...(nodePort === undefined ? {} : { nodePort }) };
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: {
      type,
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: [`IPv${step.family}`],
      ports: [port],
      ...(externalIP === undefined ? {} : { externalIPs: [externalIP] }),
      ...(step.sourceRanges === undefined
        ? {}
        : { loadBalancerSourceRanges: [...step.sourceRanges] }),
      internalTrafficPolicy: step.internalLocal ? "Local" : "Cluster",
      externalTrafficPolicy: step.externalLocal ? "Local" : "Cluster",
      ...(step.affinity ? { sessionAffinity: "ClientIP" } : {}),
    },
    ...(loadBalancerIP === undefined
      ? {}
      : { status: { loadBalancer: { ingress: [{ ip: loadBalancerIP }] } } }),
  };
}

function sliceOf({ name, family, protocol, targetPort, endpoints }: ServiceStep): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-1`,
      namespace: "default",
      labels: { "kubernetes.io/service-name": name },
    },
    addressType: `IPv${family}`,
    ports: [{ port: targetPort, protocol }],
    endpoints: endpoints.map(endpointOf),
  };
}

function endpointOf({ address, local, state }: ServiceEndpoint): Endpoint {
  return {
    addresses: [address],
    conditions: {
      ready: state === "ready",
      serving: state === "ready" || state === "serving",
      terminating: state === "serving" || state === "terminating",
    },
    nodeName: local ? NODE : "elsewhere",
  };
}
