import {
  type Labels,
  type NetworkPolicy,
  type NetworkPolicyPeer,
  type NetworkPolicyPort,
  namespaceLabels,
  type Protocol,
  type Service,
} from "@cnilab/core";
import type { IngressConnection } from "../connections/ingress-controller.ts";
import { type Workload, workloadName } from "../connections/workloads.ts";
import type { Intent } from "./calls.ts";
import { CLUSTER_DNS } from "./cluster-dns.ts";

interface Allowed {
  readonly peer: Workload | "anybody" | "dns";
  readonly ports: Map<string, NetworkPolicyPort>;
}

/** Traffic that was seen, or is wanted, besides what manifests say. */
export interface RecordedFlow {
  readonly from: Workload;
  readonly to: Workload;
  readonly protocol: Protocol;
  readonly port: number;
}

/**
 * The least that lets the inferred calls through: for each workload a NetworkPolicy with those peers and ports, closed
 * otherwise in both directions. Whoever calls by name may ask the DNS; what Services offer to the outside (NodePort,
 * LoadBalancer) and what Ingresses lead to stays open to anybody.
 */
export function suggestPolicies(
  { workloads, services, calls }: Intent,
  more: {
    readonly recorded?: readonly RecordedFlow[];
    readonly ingress?: readonly IngressConnection[];
  } = {},
): readonly NetworkPolicy[] {
  const ingress = new Map<Workload, Map<string, Allowed>>();
  const egress = new Map<Workload, Map<string, Allowed>>();
  for (const { from, service, port } of calls) {
    const protocol = port.protocol ?? "TCP";
    for (const { workload, port: number } of services.backends(service, port)) {
      allow(egress, from, workload, protocol, number);
      allow(ingress, workload, from, protocol, number);
    }
    allow(egress, from, "dns", "UDP", 53);
    allow(egress, from, "dns", "TCP", 53);
  }
  for (const { from, to, protocol, port } of more.recorded ?? []) {
    allow(egress, from, to, protocol, port);
    allow(ingress, to, from, protocol, port);
  }
  for (const { destination, port } of more.ingress ?? []) {
    const own = workloads.find((each) => workloadName(each) === workloadName(destination));
    if (own !== undefined) allow(ingress, own, "anybody", "TCP", port);
  }
  for (const service of services) {
    if (!isOpen(service)) continue;
    for (const port of service.spec.ports ?? []) {
      for (const { workload, port: number } of services.backends(service, port)) {
        allow(ingress, workload, "anybody", port.protocol ?? "TCP", number);
      }
    }
  }
  return workloads.map((workload) =>
    policyFor(workload, ingress.get(workload), egress.get(workload)),
  );
}

function isOpen({ spec: { type, externalIPs = [] } }: Service): boolean {
  return type === "NodePort" || type === "LoadBalancer" || externalIPs.length > 0;
}

function allow(
  rules: Map<Workload, Map<string, Allowed>>,
  of: Workload,
  peer: Allowed["peer"],
  protocol: Protocol,
  port: number,
): void {
  let own = rules.get(of);
  if (own === undefined) {
    own = new Map();
    rules.set(of, own);
  }
  const key = typeof peer === "string" ? peer : workloadName(peer);
  let allowed = own.get(key);
  if (allowed === undefined) {
    allowed = { peer, ports: new Map() };
    own.set(key, allowed);
  }
  allowed.ports.set(`${protocol} ${port}`, { protocol, port });
}

function policyFor(
  workload: Workload,
  ingress: ReadonlyMap<string, Allowed> | undefined,
  egress: ReadonlyMap<string, Allowed> | undefined,
): NetworkPolicy {
  const { namespace, name } = workload;
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { name, namespace },
    spec: {
      podSelector: { matchLabels: labelsOf(workload) },
      policyTypes: ["Ingress", "Egress"],
      ingress: [...(ingress?.values() ?? [])].map(({ peer, ports }) => ({
        ...(peer !== "anybody" && { from: [peerOf(peer, namespace)] }),
        ports: [...ports.values()],
      })),
      egress: [...(egress?.values() ?? [])].map(({ peer, ports }) => ({
        ...(peer !== "anybody" && { to: [peerOf(peer, namespace)] }),
        ports: [...ports.values()],
      })),
    },
  };
}

function peerOf(peer: Workload | "dns", namespace: string): NetworkPolicyPeer {
  const [of, labels] =
    peer === "dns"
      ? [CLUSTER_DNS.pod.namespace, CLUSTER_DNS.pod.labels]
      : [peer.namespace, labelsOf(peer)];
  const podSelector = { matchLabels: labels };
  if (peer !== "dns" && of === namespace) return { podSelector };
  return { namespaceSelector: { matchLabels: namespaceLabels({ name: of }) }, podSelector };
}

/** Labels that all its pods have, without those that a controller adds to tell versions apart. */
function labelsOf({ pods }: Workload): Labels {
  const [first, ...others] = pods.map(({ pod }) => pod?.labels ?? {});
  const versions = [
    "pod-template-hash",
    "controller-revision-hash",
    "statefulset.kubernetes.io/pod-name",
  ];
  return Object.fromEntries(
    Object.entries(first ?? {}).filter(
      ([key, value]) => !versions.includes(key) && others.every((labels) => labels[key] === value),
    ),
  );
}
