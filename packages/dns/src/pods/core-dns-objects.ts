import type {
  ApiClient,
  ClusterConfig,
  ConfigMap,
  Deployment,
  KubeObject,
  Service,
} from "@cnilab/core";
import { addToIp, formatIp, tryParseIp } from "@cnilab/net";
import { kubeadmCorefile } from "./kubeadm-corefile.ts";

export const NAMESPACE = "kube-system";
/** What pods of the cluster's DNS are known by, whoever installed them. */
export const DNS_LABELS: Readonly<Record<string, string>> = { "k8s-app": "kube-dns" };
/** kubeadm gives the Service the tenth address of the range (cmd/kubeadm/app/constants GetDNSIP). */
const DNS_INDEX = 10;
/** The release that kubeadm v1.35 brings. */
const CORE_DNS_IMAGE = "coredns/coredns:v1.13.1";

/** What kubeadm's phase "addon coredns" makes, but for what lets the pods talk to the API server: they may here. */
export function coreDnsObjects(api: ApiClient, config: ClusterConfig): readonly KubeObject[] {
  return [configMap(config), ...(runsAlready(api) ? [] : [deployment()]), service(api, config)];
}

/** Whether the input brings pods of its own, perhaps without the Deployment that made them. */
function runsAlready(api: ApiClient): boolean {
  return api
    .list("Pod", NAMESPACE)
    .some(({ metadata }) =>
      Object.entries(DNS_LABELS).every(([key, value]) => metadata.labels?.[key] === value),
    );
}

function configMap({ clusterDomain }: ClusterConfig): ConfigMap {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "coredns", namespace: NAMESPACE },
    data: { Corefile: kubeadmCorefile(clusterDomain) },
  };
}

function deployment(): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "coredns", namespace: NAMESPACE, labels: DNS_LABELS },
    spec: {
      replicas: 2,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: 1 } },
      selector: { matchLabels: DNS_LABELS },
      template: {
        metadata: { labels: DNS_LABELS },
        spec: {
          nodeSelector: { "kubernetes.io/os": "linux" },
          tolerations: [
            { key: "CriticalAddonsOnly", operator: "Exists" },
            { key: "node-role.kubernetes.io/control-plane", effect: "NoSchedule" },
          ],
          dnsPolicy: "Default",
          containers: [
            {
              name: "coredns",
              image: CORE_DNS_IMAGE,
              args: ["-conf", "/etc/coredns/Corefile"],
              volumeMounts: [{ name: "config-volume", mountPath: "/etc/coredns" }],
              ports: [
                { containerPort: 53, name: "dns", protocol: "UDP" },
                { containerPort: 53, name: "dns-tcp", protocol: "TCP" },
                { containerPort: 9153, name: "metrics", protocol: "TCP" },
                { containerPort: 8080, name: "liveness-probe", protocol: "TCP" },
                { containerPort: 8181, name: "readiness-probe", protocol: "TCP" },
              ],
              livenessProbe: {
                httpGet: { path: "/health", port: "liveness-probe" },
                initialDelaySeconds: 60,
                timeoutSeconds: 5,
                successThreshold: 1,
                failureThreshold: 5,
              },
              readinessProbe: { httpGet: { path: "/ready", port: "readiness-probe" } },
            },
          ],
          volumes: [
            {
              name: "config-volume",
              configMap: { name: "coredns", items: [{ key: "Corefile", path: "Corefile" }] },
            },
          ],
        },
      },
    },
  };
}

function service(api: ApiClient, config: ClusterConfig): Service {
  const clusterIP = freeDnsAddress(api, config);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: "kube-dns",
      namespace: NAMESPACE,
      labels: {
        ...DNS_LABELS,
        "kubernetes.io/cluster-service": "true",
        "kubernetes.io/name": "CoreDNS",
      },
      annotations: { "prometheus.io/port": "9153", "prometheus.io/scrape": "true" },
    },
    spec: {
      ...(clusterIP === undefined ? {} : { clusterIP }),
      selector: DNS_LABELS,
      ports: [
        { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: 53 },
        { name: "metrics", port: 9153, protocol: "TCP", targetPort: 9153 },
      ],
    },
  };
}

/** `undefined` where the range does not have it, or a Service of the input does: then the Service gets any. */
function freeDnsAddress(api: ApiClient, { serviceCidrs }: ClusterConfig): string | undefined {
  const [range] = serviceCidrs;
  if (range === undefined) return undefined;
  const address = addToIp(range.address, DNS_INDEX);
  if (!range.contains(address)) return undefined;
  const taken = api
    .list("Service")
    .some(({ spec }) => (spec.clusterIPs ?? []).some((ip) => tryParseIp(ip) === address));
  return taken ? undefined : formatIp(address);
}
