import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** An object as a manifest has it. */
export interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: unknown;
  readonly [field: string]: unknown;
}

const CERTIFICATE = readFileSync(fileURLToPath(new URL("doors/tls.crt", import.meta.url)));

const shop = (name: string) => ({ name, namespace: "shop" });

/** Two Deployments with a Service each, in namespace shop. */
export const APPS: readonly Manifest[] = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  ...["cart", "catalog"].flatMap((app): Manifest[] => [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: shop(app),
      spec: {
        replicas: 2,
        selector: { matchLabels: { app } },
        template: {
          metadata: { labels: { app } },
          spec: { containers: [{ name: app, ports: [{ name: "web", containerPort: 8080 }] }] },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: shop(app),
      spec: { selector: { app }, ports: [{ name: "http", port: 80, targetPort: "web" }] },
    },
  ]),
  // For shop.example.com alone; made by OpenSSL, its key thrown away: nothing reads keys here.
  {
    apiVersion: "v1",
    kind: "Secret",
    metadata: shop("tls"),
    type: "kubernetes.io/tls",
    data: { "tls.crt": CERTIFICATE.toString("base64"), "tls.key": "a2V5" },
  },
];

const path = (at: string, service: string) => ({
  path: at,
  pathType: "Prefix",
  backend: { service: { name: service, port: { name: "http" } } },
});

/** shop.example.com/cart and the rest of it, by an Ingress. */
export const INGRESS: readonly Manifest[] = [
  ...APPS,
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: shop("web"),
    spec: {
      ingressClassName: "nginx",
      rules: [
        {
          host: "shop.example.com",
          http: { paths: [path("/cart", "cart"), path("/", "catalog")] },
        },
      ],
    },
  },
];

const GATEWAY_API = "gateway.networking.k8s.io/v1";

/** The same by a Gateway and an HTTPRoute. */
export const GATEWAY: readonly Manifest[] = [
  ...APPS,
  {
    apiVersion: GATEWAY_API,
    kind: "Gateway",
    metadata: shop("edge"),
    spec: {
      gatewayClassName: "cnilab",
      listeners: [{ name: "http", port: 80, protocol: "HTTP" }],
    },
  },
  {
    apiVersion: GATEWAY_API,
    kind: "HTTPRoute",
    metadata: shop("web"),
    spec: {
      parentRefs: [{ name: "edge" }],
      hostnames: ["shop.example.com"],
      rules: [
        {
          matches: [{ path: { type: "PathPrefix", value: "/cart" } }],
          backendRefs: [{ name: "cart", port: 80 }],
        },
        { backendRefs: [{ name: "catalog", port: 80 }] },
      ],
    },
  },
];

/** The manifests with some objects changed; a change of `undefined` takes the object away. */
export function changed(
  manifests: readonly Manifest[],
  changes: Readonly<Record<string, ((spec: never) => unknown) | undefined>>,
  ...more: readonly Manifest[]
): string {
  const known = new Set<string>();
  const all = manifests.flatMap((object) => {
    const id = `${object.kind} ${object.metadata.name}`;
    if (!(id in changes)) return [object];
    known.add(id);
    const change = changes[id];
    return change === undefined ? [] : [{ ...object, spec: change(object.spec as never) }];
  });
  for (const id of Object.keys(changes)) {
    if (!known.has(id)) throw new Error(`no ${id} to change`);
  }
  return JSON.stringify({ apiVersion: "v1", kind: "List", items: [...all, ...more] });
}
