import type {
  ApiClient,
  ClusterConfig,
  ConfigMap,
  DaemonSet,
  KubeObject,
  Service,
} from "@cnilab/core";
import { formatIp, type IpAddress, type IpFamily, parseIp, tryParseIp } from "@cnilab/net";
import { DNS_LABELS, NAMESPACE } from "./core-dns-objects.ts";

const LABELS: Readonly<Record<string, string>> = { "k8s-app": "node-local-dns" };
const NODE_CACHE_IMAGE = "dns/k8s-dns-node-cache:1.26.4";
/** By which CoreDNS is known where the cache has taken the address of kube-dns. */
export const UPSTREAM_SERVICE = "kube-dns-upstream";

/** The cache's own address on each node: link-local (RFC 3927), or, as IPv6 has no such range for this, a unique local one. */
export function nodeLocalAddress(ipFamilies: readonly IpFamily[]): IpAddress {
  return parseIp(ipFamilies[0] === 6 ? "fd00:169:254:20::10" : "169.254.20.10");
}

/**
 * What kubernetes/kubernetes cluster/addons/dns/nodelocaldns/nodelocaldns.yaml makes. With kube-proxy in iptables or nftables mode the
 * cache takes the address of kube-dns on each node; IPVS has it already, on kube-ipvs0, and pods are told the cache's own.
 */
export function nodeLocalObjects(api: ApiClient, config: ClusterConfig): readonly KubeObject[] {
  const service = api.get("Service", `${NAMESPACE}/kube-dns`);
  const clusterIps = (service?.spec.clusterIPs ?? []).filter((ip) => tryParseIp(ip) !== undefined);
  // What it stands before has to be there first.
  if (clusterIps.length === 0) return [];
  const taken = config.proxyMode === "ipvs" ? [] : clusterIps;
  const addresses = [formatIp(nodeLocalAddress(config.ipFamilies)), ...taken];
  return [configMap(config, addresses), upstreamService(), daemonSet(addresses)];
}

function configMap({ clusterDomain }: ClusterConfig, addresses: readonly string[]): ConfigMap {
  const bind = addresses.join(" ");
  const cached = (zone: string, cache: string) => `${zone}:53 {
    errors
    cache ${cache}
    reload
    loop
    bind ${bind}
    forward . __PILLAR__CLUSTER__DNS__ {
            force_tcp
    }
    prometheus :9253
`;
  const [own = ""] = addresses;
  const health = own.includes(":") ? `[${own}]:8080` : `${own}:8080`;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "node-local-dns", namespace: NAMESPACE },
    data: {
      Corefile: `${cached(
        clusterDomain,
        `{
            success 9984 30
            denial 9984 5
    }`,
      )}    health ${health}
    }
${cached("in-addr.arpa", "30")}    }
${cached("ip6.arpa", "30")}    }
.:53 {
    errors
    cache 30
    reload
    loop
    bind ${bind}
    forward . __PILLAR__UPSTREAM__SERVERS__
    prometheus :9253
    }
`,
    },
  };
}

function upstreamService(): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: UPSTREAM_SERVICE, namespace: NAMESPACE, labels: DNS_LABELS },
    spec: {
      selector: DNS_LABELS,
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
      ],
    },
  };
}

function daemonSet(addresses: readonly string[]): DaemonSet {
  return {
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: "node-local-dns", namespace: NAMESPACE, labels: LABELS },
    spec: {
      updateStrategy: { rollingUpdate: { maxUnavailable: "10%" } },
      selector: { matchLabels: LABELS },
      template: {
        metadata: { labels: LABELS },
        spec: {
          hostNetwork: true,
          // Its own upstream servers are the node's.
          dnsPolicy: "Default",
          nodeSelector: { "kubernetes.io/os": "linux" },
          tolerations: [
            { key: "CriticalAddonsOnly", operator: "Exists" },
            { effect: "NoExecute", operator: "Exists" },
            { effect: "NoSchedule", operator: "Exists" },
          ],
          containers: [
            {
              name: "node-cache",
              image: NODE_CACHE_IMAGE,
              args: [
                "-localip",
                addresses.join(","),
                "-conf",
                "/etc/Corefile",
                "-upstreamsvc",
                UPSTREAM_SERVICE,
              ],
              ports: [
                { containerPort: 53, name: "dns", protocol: "UDP" },
                { containerPort: 53, name: "dns-tcp", protocol: "TCP" },
                { containerPort: 9253, name: "metrics", protocol: "TCP" },
              ],
              volumeMounts: [{ name: "config-volume", mountPath: "/etc/coredns" }],
            },
          ],
          volumes: [
            {
              name: "config-volume",
              configMap: {
                name: "node-local-dns",
                items: [{ key: "Corefile", path: "Corefile.base" }],
              },
            },
          ],
        },
      },
    },
  };
}
