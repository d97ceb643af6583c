import type { KubeObject } from "@cnilab/core";

const NETWORKING = "networking.k8s.io/v1";
const GATEWAY_API = "gateway.networking.k8s.io/v1";

function object(apiVersion: string, kind: string, spec: object): KubeObject {
  const metadata = { name: "door", namespace: "default" };
  return { apiVersion, kind, metadata, spec } as KubeObject;
}

const backend = { service: { name: "echo", port: { name: "tcp" } } };

/** One host behind an Ingress, one behind a Gateway; both lead to the Service of the test cluster. */
export const DOORS: readonly KubeObject[] = [
  object(NETWORKING, "Ingress", {
    rules: [
      {
        host: "ingress.example.com",
        http: { paths: [{ path: "/", pathType: "Prefix", backend }] },
      },
    ],
  }),
  object(GATEWAY_API, "Gateway", {
    gatewayClassName: "cnilab",
    listeners: [{ name: "http", port: 80, protocol: "HTTP" }],
  }),
  object(GATEWAY_API, "HTTPRoute", {
    parentRefs: [{ name: "door" }],
    hostnames: ["gateway.example.com"],
    rules: [{ backendRefs: [{ name: "echo", port: 80 }] }],
  }),
];
