import type { ApiClient, ClusterConfig } from "@cnilab/core";
import { addToIp, formatIp, type IpAddress } from "@cnilab/net";
import { SERVICE_NAME_LABEL } from "./endpoint-slice.ts";

/** Port of the API server. */
export const API_SERVER_PORT = 6443;

/** Creates the Service and the slice by which pods reach the API server, as it does itself. */
export function createKubernetesService(
  api: ApiClient,
  config: ClusterConfig,
  apiServer: readonly IpAddress[],
): void {
  const range = config.serviceCidrs.find((r) => r.family === config.ipFamilies[0]);
  if (range === undefined) return;
  const metadata = {
    name: "kubernetes",
    namespace: "default",
    labels: { component: "apiserver", provider: "kubernetes" },
  };
  api.create<"Service">({
    apiVersion: "v1",
    kind: "Service",
    metadata,
    spec: {
      type: "ClusterIP",
      clusterIP: formatIp(addToIp(range.address, 1)),
      ports: [{ name: "https", port: 443, protocol: "TCP", targetPort: API_SERVER_PORT }],
    },
  });
  const addresses = apiServer.filter((a) => (typeof a === "number" ? 4 : 6) === range.family);
  api.create<"EndpointSlice">({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...metadata, labels: { [SERVICE_NAME_LABEL]: "kubernetes" } },
    addressType: range.family === 4 ? "IPv4" : "IPv6",
    ports: [{ name: "https", port: API_SERVER_PORT, protocol: "TCP" }],
    endpoints: addresses.map((a) => ({ addresses: [formatIp(a)], conditions: { ready: true } })),
  });
}
