import type { Cluster } from "@cnilab/cluster";
import type { KubeObject } from "@cnilab/core";
import { doorProblems, httpProblem } from "@cnilab/inspect";
import { HttpFailure, HttpResponse } from "@cnilab/linux";
import fc from "fast-check";
import { expect, test } from "vitest";
import { APPS, changed, GATEWAY, INGRESS, type Manifest } from "./doors.ts";
import { running } from "./running.ts";

const HOST = "shop.example.com";
const GATEWAY_API = "gateway.networking.k8s.io/v1";

function get(cluster: Cluster, url: string, headers: Record<string, string> = {}) {
  const { protocol, hostname, port, pathname } = new URL(url);
  const tls = protocol === "https:";
  const asked = {
    scheme: tls ? "https" : "http",
    host: hostname,
    port: port === "" ? (tls ? 443 : 80) : Number(port),
    path: pathname,
    outside: true,
  } as const;
  const connection = cluster.requestHttp({
    from: cluster.endpoint("internet"),
    to: cluster.endpoint(hostname),
    port: asked.port,
    ...(tls && { tls: { host: hostname, insecure: false } }),
    request: { host: hostname, path: pathname, headers },
    connectTimeoutMs: 10_000,
    maxTimeMs: 100_000,
  });
  const problem = httpProblem(cluster.api, asked, connection, () => undefined);
  const { result } = connection.outcome ?? {};
  if (result instanceof HttpResponse) {
    const server = result.status === 200 ? (JSON.parse(result.body) as Echo).server : "";
    return { said: `${result.status} ${server.split("-")[0]}`.trim(), problem, result };
  }
  const why = result instanceof HttpFailure ? result.message : connection.failure?.reason;
  return { said: why ?? "", problem, result: undefined };
}

interface Echo {
  readonly server: string;
}

function put(cluster: Cluster, ...objects: Manifest[]): void {
  cluster.apply(objects as unknown as KubeObject[]);
  cluster.settle();
}

/** A Gateway with one listener. */
const gateway = (name: string, listener: object): Manifest => ({
  apiVersion: GATEWAY_API,
  kind: "Gateway",
  metadata: { name, namespace: "shop" },
  spec: { gatewayClassName: "cnilab", listeners: [listener] },
});
const route = (kind: string, name: string, parent: string, service: string, more: object = {}) => ({
  apiVersion: GATEWAY_API,
  kind,
  metadata: { name, namespace: "shop" },
  spec: {
    parentRefs: [{ name: parent }],
    ...more,
    rules: [{ backendRefs: [{ name: service, port: 80 }] }],
  },
});

test("each Gateway has an address of its own, also where two have one port", () => {
  const cluster = running(
    changed(
      GATEWAY,
      {},
      gateway("second", { name: "http", port: 80, protocol: "HTTP" }),
      route("HTTPRoute", "second", "second", "catalog", { hostnames: ["second.example.com"] }),
    ),
  );
  expect(get(cluster, `http://${HOST}/cart`).said).toBe("200 shop/cart");
  expect(get(cluster, "http://second.example.com/cart").said).toBe("200 shop/catalog");
  const addresses = cluster.api
    .list("Gateway")
    .map(({ metadata, status }) => [metadata.name, status?.addresses?.length]);
  expect(addresses).toEqual([
    ["edge", 1],
    ["second", 1],
  ]);
  const values = cluster.api.list("Gateway").map(({ status }) => status?.addresses?.[0]?.value);
  expect(new Set(values).size).toBe(2);
  expect(
    cluster.api
      .list("Service", "cnilab-gateway")
      .map(({ metadata, spec }) => [
        metadata.name,
        spec.ports?.map(({ port, targetPort }) => `${port} to ${targetPort}`).join(),
      ]),
  ).toEqual([
    ["cnilab-gateway", "80 to 80"],
    ["cnilab-gateway-shop-second", "80 to 10080"],
  ]);
});

test("a Gateway's name and address may be what a Service's may not", () => {
  const long = `a.${"b".repeat(100)}`;
  const odd = gateway(long, { name: "http", port: 80, protocol: "HTTP" });
  const cluster = running(
    changed(
      GATEWAY,
      {},
      { ...odd, spec: { ...(odd.spec as object), addresses: [{ value: "198.51.100.9" }] } },
      route("HTTPRoute", "odd", long, "catalog", { hostnames: ["odd.example.com"] }),
    ),
  );
  expect(get(cluster, "http://odd.example.com/").said).toBe("200 shop/catalog");
  const status = cluster.api.get("Gateway", `shop/${long}`)?.status;
  expect(status?.addresses).toEqual([{ type: "IPAddress", value: "198.51.100.9" }]);
});

test("status says who took what, and when", () => {
  const cluster = running(changed(GATEWAY, {}));
  const edge = cluster.api.get("Gateway", "shop/edge");
  expect(edge?.status?.conditions).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ type: "Programmed", status: "True" }),
      expect.objectContaining({
        type: "Accepted",
        lastTransitionTime: expect.stringMatching(/^2026-01-01T00:0\d:\d\dZ$/),
      }),
    ]),
  );
  expect(edge?.status?.listeners).toMatchObject([{ name: "http", attachedRoutes: 1 }]);
  const taken = cluster.api.get("HTTPRoute", "shop/web")?.status?.parents;
  expect(taken).toMatchObject([
    { controllerName: "cnilab.dev/gateway-controller", parentRef: { name: "edge" } },
  ]);
});

test("routes of other protocols are proxied unread", () => {
  const cluster = running(
    changed(
      GATEWAY,
      {},
      gateway("tcp", { name: "db", port: 5432, protocol: "TCP" }),
      route("TCPRoute", "db", "tcp", "cart"),
      gateway("udp", { name: "game", port: 9999, protocol: "UDP" }),
      route("UDPRoute", "game", "udp", "game"),
      gateway("tls", { name: "tls", port: 443, protocol: "TLS", tls: { mode: "Passthrough" } }),
      route("TLSRoute", "secure", "tls", "secure", { hostnames: ["secure.example.com"] }),
      ...app("game", "UDP", 9000),
      ...app("secure", "TCP", 8443),
    ),
  );
  const controller = cluster.api.list("Pod", "cnilab-gateway")[0]?.status?.podIP;
  const ask = (name: string, port: number, protocol: "TCP" | "UDP") => {
    const service = cluster.api
      .list("Service", "cnilab-gateway")
      .find(({ metadata }) => metadata.labels?.["gateway.networking.k8s.io/gateway-name"] === name);
    const ip = service?.status?.loadBalancer?.ingress?.[0]?.ip ?? "";
    return cluster.connect({
      from: cluster.endpoint("internet"),
      to: cluster.endpoint(ip),
      port,
      protocol,
    });
  };
  expect(ask("tcp", 5432, "TCP")).toMatchObject({
    verdict: "allowed",
    backend: expect.stringMatching(/^shop\/cart-/),
    seenAs: controller,
  });
  expect(ask("udp", 9999, "UDP")).toMatchObject({
    verdict: "allowed",
    backend: expect.stringMatching(/^shop\/game-/),
    seenAs: controller,
  });
  expect(get(cluster, "https://secure.example.com/").said).toBe("200 shop/secure");
});

/** A Deployment and its Service of port 80. */
function app(name: string, protocol: string, containerPort: number): Manifest[] {
  const metadata = { name, namespace: "shop" };
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata,
      spec: {
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: { containers: [{ name, ports: [{ containerPort, protocol }] }] },
        },
      },
    },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: {
        selector: { app: name },
        ports: [{ port: 80, targetPort: containerPort, protocol }],
      },
    },
  ];
}

test("changes reach the proxy while it runs", () => {
  const cluster = running(changed(INGRESS, {}));
  expect(get(cluster, `http://${HOST}/cart`).said).toBe("200 shop/cart");
  cluster.scale("Deployment", "shop/cart", 0);
  cluster.settle();
  expect(get(cluster, `http://${HOST}/cart`).problem).toMatch(/^503: Service shop\/cart has no/);
  cluster.scale("Deployment", "shop/cart", 1);
  cluster.settle();
  expect(get(cluster, `http://${HOST}/cart`).said).toBe("200 shop/cart");
  cluster.delete("Ingress", "shop/web");
  cluster.settle();
  expect(get(cluster, `http://${HOST}/cart`).said).not.toMatch(/^200/);
});

test("Ingresses of the same host in several objects are one, and what comes later is served", () => {
  const cluster = running(changed(INGRESS, {}));
  put(cluster, {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "more", namespace: "shop" },
    spec: {
      rules: [
        {
          host: HOST,
          http: {
            paths: [
              {
                path: "/more",
                pathType: "Prefix",
                backend: { service: { name: "cart", port: { number: 80 } } },
              },
            ],
          },
        },
      ],
    },
  });
  expect(cluster.api.get("Ingress", "shop/more")?.spec.ingressClassName).toBe("nginx");
  expect(get(cluster, `http://${HOST}/more`).said).toBe("200 shop/cart");
  expect(get(cluster, `http://${HOST}/`).said).toBe("200 shop/catalog");
});

test("an ingress-nginx of the input's own is the one that serves, by its own flags", () => {
  const metadata = { name: "door", namespace: "shop" };
  const labels = { app: "door" };
  const cluster = running(
    changed(
      INGRESS,
      { "Ingress web": (spec: object) => ({ ...spec, ingressClassName: "own" }) },
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "IngressClass",
        metadata: { name: "own" },
        spec: { controller: "example.com/own" },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata,
        spec: {
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: {
              containers: [
                {
                  name: "controller",
                  image: "mirror.example/ingress-nginx/controller:v1.12.1",
                  args: [
                    "/nginx-ingress-controller",
                    "--controller-class=example.com/own",
                    "--ingress-class=mine",
                    "--watch-namespace=shop",
                    "--publish-service=$(POD_NAMESPACE)/door",
                  ],
                },
              ],
            },
          },
        },
      },
      {
        apiVersion: "v1",
        kind: "Service",
        metadata,
        spec: { type: "LoadBalancer", selector: labels, ports: [{ port: 80 }] },
      },
    ),
  );
  expect(cluster.api.get("Namespace", "ingress-nginx")).toBeUndefined();
  expect(get(cluster, `http://${HOST}/cart`).said).toBe("200 shop/cart");
  const by = (host: string, metadata: object, spec: object = {}): Manifest => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: host.split(".")[0] as string, namespace: "shop", ...metadata },
    spec: { ...spec, rules: [{ host, http: { paths: [PATH] } }] },
  });
  const annotated = (name: string) => ({
    annotations: { "kubernetes.io/ingress.class": name },
  });
  put(cluster, by("mine.example.com", annotated("mine")));
  expect(doorProblems(cluster.api)).toEqual([]);
  expect(get(cluster, "http://mine.example.com/cart").said).toBe("200 shop/cart");
  expect(get(cluster, "http://mine.example.com/dog").problem).toMatch(/^404: no path of mine/);
  put(
    cluster,
    by("nginx.example.com", annotated("nginx")),
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "else" } },
    by("else.example.com", { namespace: "else" }, { ingressClassName: "own" }),
    {
      apiVersion: "networking.k8s.io/v1",
      kind: "IngressClass",
      metadata: { name: "nginx" },
      spec: { controller: "k8s.io/ingress-nginx" },
    },
    by("class.example.com", {}, { ingressClassName: "nginx" }),
  );
  expect(get(cluster, "http://nginx.example.com/").problem).toBe(
    "Ingress shop/nginx asks for class nginx by the annotation kubernetes.io/ingress.class, which nobody serves here; Deployment shop/door serves mine",
  );
  expect(get(cluster, "http://else.example.com/").problem).toBe(
    "Ingress else/else: Deployment shop/door serves its class in namespace shop alone (--watch-namespace), and it is in else",
  );
  expect(get(cluster, "http://class.example.com/").problem).toBe(
    "Ingress shop/class: IngressClass nginx is of controller k8s.io/ingress-nginx, which does not run here; Deployment shop/door is example.com/own",
  );
  cluster.scale("Deployment", "shop/door", 0);
  cluster.settle();
  put(cluster, by("late.example.com", annotated("mine")));
  expect(get(cluster, "http://late.example.com/").problem).toBe(
    "Ingress shop/late has no address: no pod of Deployment shop/door is ready",
  );
});

const PATH = {
  path: "/cart",
  pathType: "Prefix",
  backend: { service: { name: "cart", port: { number: 80 } } },
};

test("a session cookie keeps a client at its endpoint", () => {
  const cluster = running(
    changed(INGRESS, {}).replace(
      '"kind":"Ingress","metadata":{',
      '"kind":"Ingress","metadata":{"annotations":{"nginx.ingress.kubernetes.io/affinity":"cookie"},',
    ),
  );
  const first = get(cluster, `http://${HOST}/cart`).result;
  const cookie = first?.headers["Set-Cookie"]?.split(";")[0] ?? "";
  expect(cookie).toMatch(/^INGRESSCOOKIE=/);
  const server = (answer: HttpResponse | undefined) =>
    (JSON.parse(answer?.body ?? "{}") as Echo).server;
  const again = Array.from({ length: 6 }, () =>
    server(get(cluster, `http://${HOST}/cart`, { Cookie: cookie }).result),
  );
  expect(new Set([server(first), ...again]).size).toBe(1);
  const others = Array.from({ length: 4 }, () =>
    server(get(cluster, `http://${HOST}/cart`).result),
  );
  expect(new Set(others).size).toBe(2);
});

/** What the API server takes for one listener given twice. */
function sameListener(x: Listener, y: Listener): boolean {
  const id = ({ port, protocol, hostname }: Listener) => `${port} ${protocol} ${hostname}`;
  return x.name === y.name || id(x) === id(y);
}

interface Listener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname?: string;
}

test("whatever Gateways and Ingresses the API server takes: the cluster comes to rest, and each request has an end", () => {
  const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,8}[a-z0-9])?$/);
  const host = fc.oneof(
    fc.constant(HOST),
    label.map((l) => `${l}.example.com`),
    fc.constant("*.example.com"),
  );
  const listener = fc.oneof(
    fc.record({
      name: label,
      port: fc.constantFrom(80, 81, 10_080, 10_254),
      protocol: fc.constantFrom("HTTP", "TCP", "UDP"),
    }),
    fc.record({
      name: label,
      port: fc.constantFrom(443, 80),
      protocol: fc.constant("HTTPS"),
      tls: fc.constantFrom(
        { certificateRefs: [{ name: "tls" }] },
        { certificateRefs: [{ name: "no" }] },
      ),
      hostname: host,
    }),
  );
  const gateways = fc.uniqueArray(
    fc.record({
      name: label,
      listeners: fc.uniqueArray(listener, { minLength: 1, maxLength: 3, comparator: sameListener }),
      hosts: fc.array(host, { maxLength: 2 }),
      service: fc.constantFrom("cart", "catalog", "nobody"),
    }),
    { maxLength: 3, selector: (g) => g.name },
  );
  fc.assert(
    fc.property(gateways, fc.boolean(), (all, withIngress) => {
      const doors = all.flatMap(({ name, listeners, hosts, service }) => [
        {
          ...gateway(`gw-${name}`, {}),
          spec: { gatewayClassName: "cnilab", listeners },
        },
        route("HTTPRoute", name, `gw-${name}`, service, { hostnames: [...new Set(hosts)] }),
      ]);
      const cluster = running(changed(withIngress ? INGRESS : APPS, {}, ...doors));
      for (const url of [`http://${HOST}/cart`, `https://${HOST}/`, "http://a.example.com:81/"]) {
        const { said, problem } = get(cluster, url);
        expect(said.startsWith("200 ") === (problem === undefined)).toBe(true);
        expect(problem?.split("\n").length ?? 1).toBe(1);
      }
    }),
    { numRuns: 12 },
  );
});
