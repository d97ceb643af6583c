import { namespaceLabels } from "@cnilab/core";
import { IPV4_ANY } from "@cnilab/net";
import type { PolicyEndpoint } from "../policy/policy-endpoint.ts";

const NAMESPACE = "kube-system";

/** CoreDNS as every cluster has it, whether the input says so or not. */
export const CLUSTER_DNS: PolicyEndpoint & Required<Pick<PolicyEndpoint, "pod">> = {
  name: `${NAMESPACE}/coredns`,
  address: IPV4_ANY,
  pod: {
    namespace: NAMESPACE,
    namespaceLabels: namespaceLabels({ name: NAMESPACE }),
    labels: { "k8s-app": "kube-dns" },
    serviceAccount: "coredns",
  },
  ports: [
    { name: "dns", protocol: "UDP", port: 53 },
    { name: "dns-tcp", protocol: "TCP", port: 53 },
  ],
};
