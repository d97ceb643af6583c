import { describe, expect, test } from "vitest";
import { type Answer, cnilab, ROOT } from "./cnilab.ts";
import { APPS, changed, GATEWAY, INGRESS, type Manifest } from "./doors.ts";

async function curl(input: string, ...args: string[]): Promise<Answer> {
  return cnilab(["curl", ...args, "-f", "-"], { input });
}

const AS_IT_IS = {};
const HOST = "shop.example.com";
const DOORS = [
  ["an Ingress", INGRESS, "ingress-nginx", "Ingress shop/web"],
  ["a Gateway", GATEWAY, "cnilab-gateway", "HTTPRoute shop/web"],
] as const;
const MODES = ["iptables", "nftables", "ipvs"] as const;

describe.each(DOORS)("through %s", (_, manifests, namespace, rule) => {
  test.each(MODES)("in %s mode: DNS, load balancer, node, controller, endpoint", async (mode) => {
    const input = changed(manifests, AS_IT_IS);
    const args = ["internet", `http://${HOST}/cart`, "--proxy-mode", mode, "-o", "json"];
    const { status, stdout } = await curl(input, ...args);
    const json = JSON.parse(stdout);
    expect(status).toBe(0);
    expect(json).toMatchObject({
      status: 200,
      service: "shop/cart:80",
      backend: expect.stringMatching(/^shop\/cart-/),
      proxy: expect.stringContaining(`${namespace}/`),
      forwardedFor: "203.0.113.10",
      proxySaw: "203.0.113.10",
    });
    expect(`${json.rule.kind} ${json.rule.namespace}/${json.rule.name}`).toBe(rule);
    const [dns, first, second] = json.legs;
    expect(dns).toMatchObject({ kind: "DNS", from: "internet" });
    expect(dns.heard).toContain(`${HOST}. A ${first.asked.replace(":80", "")}`);
    expect(first).toMatchObject({ kind: "TCP", said: ["GET /cart"], heard: ["200 OK"] });
    expect(first.way).toEqual([
      "internet",
      "router",
      "load-balancer",
      expect.stringMatching(/^node\d$/),
      json.proxy,
    ]);
    expect(second.way[0]).toBe(json.proxy);
    expect(second.to).toBe(json.backend);
    expect(second.way.slice(1, -1).every((at: string) => /^node\d$/.test(at))).toBe(true);
    expect(second.source).toBe(json.seenAs);
    // The trace has every packet of every leg.
    for (let leg = 1; leg <= json.legs.length; leg++) {
      const own = json.trace.packets.filter((p: { leg?: number }) => p.leg === leg);
      expect(own.length).toBeGreaterThan(1);
      expect(own.every((p: { end: string }) => p.end === "delivered")).toBe(true);
    }
  });

  test.each([
    ["/cart/1?a=b", "cart"],
    ["/", "catalog"],
    ["/cartridge", "catalog"],
  ])("%s leads to %s", async (target, app) => {
    const input = changed(manifests, AS_IT_IS);
    const { status, stdout } = await curl(input, "internet", `http://${HOST}${target}`);
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^HTTP/1.1 200 OK\n {2}backend {2}shop/${app}-`));
  });
});

test("a capture has names and requests in their own bytes, on every leg", async () => {
  const args = ["internet", `http://${HOST}/cart`, "-o", "pcapng"];
  const { status, bytes } = await curl(changed(INGRESS, AS_IT_IS), ...args);
  expect(status).toBe(0);
  const text = bytes.toString("latin1");
  expect(text).toContain("\x04shop\x07example\x03com\x00");
  expect(text).toContain(`GET /cart HTTP/1.1\r\nHost: ${HOST}\r\nUser-Agent: curl\r\n`);
  expect(text).toMatch(/GET \/cart HTTP\/1.1\r\n(?:.+\r\n)+X-Forwarded-For: 203\.0\.113\.10\r\n/);
  expect(text).toMatch(/HTTP\/1.1 200 OK\r\n(?:.+\r\n)+\r\n\{"server":"shop\/cart-/);
});

test.each([
  ["shop/deploy/cart", "http://example.org/", "by node\\d, router to internet, which sees"],
  ["node/node1", "http://example.com/", "by router to internet"],
  ["internet", "https://example.com/", "to internet"],
])("%s asks %s, and is told who answered", async (src, url, expected) => {
  const { status, stdout } = await curl(changed(APPS, AS_IT_IS), src, url);
  expect(stdout.trimEnd().split("\n").at(-1)).toMatch(
    new RegExp(`^ {2}leg \\d {2}TCP \\S+ \\S+ -> 203\\.0\\.113\\.10:\\d+ ${expected}`),
  );
  expect(status).toBe(0);
});

test("run names the doors that are open, and what is amiss", async () => {
  const input = changed(
    [...INGRESS, ...GATEWAY.filter(({ kind }) => kind === "Gateway" || kind === "HTTPRoute")],
    { "Gateway edge": (spec: object) => ({ ...spec, gatewayClassName: "istio" }) },
  );
  const { status, stdout } = await cnilab(["run", "-f", "-"], { input });
  expect(status).toBe(0);
  expect(stdout).toMatch(
    /^Doors for the world outside: shop\.example\.com 198\.51\.100\.1 \(Ingress shop\/web\)\n {2}amiss.*: Gateway shop\/edge names GatewayClass istio/m,
  );
  expect(stdout.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
});

test("a pod asks for a public name by its search path, and leaves by the same door", async () => {
  const args = ["shop/deploy/catalog", `http://${HOST}/cart`, "-o", "json"];
  const { status, stdout } = await curl(changed(INGRESS, AS_IT_IS), ...args);
  const json = JSON.parse(stdout);
  expect(status).toBe(0);
  const dns = json.legs.filter((l: { kind: string }) => l.kind === "DNS");
  expect(dns.every((l: { to: string }) => l.to.startsWith("kube-system/coredns-"))).toBe(true);
  const heard = dns.flatMap((l: { heard: string[] }) => l.heard);
  expect(heard).toContain(`NXDOMAIN A ${HOST}.shop.svc.cluster.local.`);
  expect(heard).toContain(`${HOST}. A 198.51.100.1`);
  expect(json.backend).toMatch(/^shop\/cart-/);
});

describe("the example's door", () => {
  const file = (name: string) => `${ROOT}/apps/examples/doors/${name}.yaml`;
  test.each([
    ["ingress", 308, "Ingress shop/shop spec.rules[0].http.paths[0]"],
    ["gateway", 301, "HTTPRoute shop/shop spec.rules[0]"],
  ])("by %s: redirected to https, and answered there", async (door, status, rule) => {
    const args = ["curl", "internet", `http://${HOST}/cart`, "-L", "-f", file("apps")];
    const answer = await cnilab([...args, "-f", file(door)]);
    expect(answer.status).toBe(0);
    expect(answer.stdout).toMatch(
      new RegExp(`^HTTP/1.1 ${status} .*\nLocation: https://${HOST}/cart\n`),
    );
    expect(answer.stdout).toMatch(/^HTTP\/1.1 200 OK\n {2}backend {2}shop\/cart-/m);
    expect(answer.stdout).toContain(`  rule     ${rule}\n`);
  });
});

/** A policy for all pods of a namespace that lets nothing through on one side. */
const denies = (namespace: string, side: "Ingress" | "Egress"): Manifest => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "deny", namespace },
  spec: { podSelector: {}, policyTypes: [side] },
});

const NAMESPACE: Manifest = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name: "ingress-nginx" },
};

type IngressSpec = {
  readonly rules: readonly {
    readonly host?: string;
    readonly http: { readonly paths: readonly { readonly backend: object }[] };
  }[];
};

const toService = (name: string, port: object) => (spec: IngressSpec) => ({
  ...spec,
  rules: spec.rules.map((rule) => ({
    ...rule,
    http: { paths: rule.http.paths.map((p) => ({ ...p, backend: { service: { name, port } } })) },
  })),
});
const withTls = (secretName: string) => (spec: IngressSpec) => ({
  ...spec,
  tls: [{ hosts: spec.rules.map(({ host }) => host), secretName }],
});
const otherHost = (host: string) => (spec: IngressSpec) => ({
  ...withTls("tls")({ ...spec, rules: spec.rules.map((rule) => ({ ...rule, host })) }),
});

type DeploymentSpec = {
  readonly template: { readonly spec: { readonly containers: readonly object[] } };
};

const withContainer = (more: object) => (spec: DeploymentSpec) => {
  const containers = spec.template.spec.containers.map((container) => ({ ...container, ...more }));
  return { ...spec, template: { ...spec.template, spec: { containers } } };
};

describe("a break of an Ingress names the object to mend", () => {
  test.each<[string, string, string[], RegExp]>([
    [
      "no endpoints",
      changed(INGRESS, { "Deployment cart": undefined }),
      ["internet", `http://${HOST}/cart`],
      /^503: Service shop\/cart has no endpoints: its selector app=cart finds no running pod \(Ingress shop\/web spec\.rules\[0\]\.http\.paths\[0\]\)$/,
    ],
    [
      "a policy on the backend",
      changed(INGRESS, AS_IT_IS, denies("shop", "Ingress")),
      ["internet", `http://${HOST}/cart`, "--policy", "standalone"],
      /^504: NetworkPolicy shop\/deny.* does not let ingress-nginx\/ingress-nginx-controller-\S+ \(\S+\) reach shop\/cart-\S+ \(\S+:8080\): allow TCP port 8080 there$/,
    ],
    [
      "a policy on the controller, inwards",
      changed(INGRESS, AS_IT_IS, NAMESPACE, denies("ingress-nginx", "Ingress")),
      ["internet", `http://${HOST}/cart`, "--policy", "standalone"],
      /^NetworkPolicy ingress-nginx\/deny.* does not let \S+ \(203\.0\.113\.10\) reach ingress-nginx\/ingress-nginx-controller-\S+ \(\S+:80\): allow TCP port 80 there$/,
    ],
    [
      "a policy on the controller, outwards",
      changed(INGRESS, AS_IT_IS, NAMESPACE, denies("ingress-nginx", "Egress")),
      ["internet", `http://${HOST}/cart`, "--policy", "standalone"],
      /^504: NetworkPolicy ingress-nginx\/deny.* does not let ingress-nginx\/\S+ \(\S+\) reach shop\/cart-\S+ \(\S+:8080\): allow TCP port 8080 there$/,
    ],
    [
      "a policy on DNS, from a pod",
      changed(INGRESS, AS_IT_IS, denies("shop", "Egress")),
      ["shop/deploy/catalog", `http://${HOST}/cart`, "--policy", "standalone"],
      /^NetworkPolicy shop\/deny.* does not let shop\/catalog-\S+ \(\S+\) reach kube-system\/coredns-\S+ \(\S+:53\): allow DNS \(port 53\) there$/,
    ],
    [
      "a policy on the name servers",
      changed(INGRESS, AS_IT_IS, denies("kube-system", "Ingress")),
      ["shop/deploy/catalog", "http://cart/", "--policy", "standalone"],
      /^NetworkPolicy kube-system\/deny.* does not let shop\/catalog-\S+ \(\S+\) reach kube-system\/coredns-\S+ \(\S+:53\): allow DNS \(port 53\) there$/,
    ],
    [
      "a policy on DNS, from the controller",
      changed(
        INGRESS,
        { "Ingress web": toService("away", { number: 80 }) },
        {
          apiVersion: "v1",
          kind: "Service",
          metadata: { name: "away", namespace: "shop" },
          spec: { type: "ExternalName", externalName: "example.org" },
        },
        denies("kube-system", "Ingress"),
      ),
      ["internet", `http://${HOST}/cart`, "--policy", "standalone"],
      /^503: NetworkPolicy kube-system\/deny.* does not let ingress-nginx\/\S+ \(\S+\) reach kube-system\/coredns-\S+ \(\S+:53\): allow DNS \(port 53\) there$/,
    ],
    [
      "a missing class",
      changed(INGRESS, {
        "Ingress web": (spec: IngressSpec) => ({ ...spec, ingressClassName: "haproxy" }),
      }),
      ["internet", `http://${HOST}/cart`],
      /^Ingress shop\/web names IngressClass haproxy, which is not there: create it, or set spec\.ingressClassName \(there is nginx\)$/,
    ],
    [
      "a class that only an annotation names",
      changed(INGRESS, {
        "Ingress web": (spec: IngressSpec & { readonly ingressClassName?: string }) => {
          const { ingressClassName: _, ...rest } = spec;
          return rest;
        },
      }).replace(
        '"kind":"Ingress","metadata":{',
        '"kind":"Ingress","metadata":{"annotations":{"kubernetes.io/ingress.class":"traefik"},',
      ),
      ["internet", `http://${HOST}/cart`],
      /^Ingress shop\/web asks for class traefik by the annotation kubernetes\.io\/ingress\.class, which nobody serves here; Deployment ingress-nginx\/ingress-nginx-controller serves nginx$/,
    ],
    [
      "a name that no Service has, from a pod",
      changed(INGRESS, AS_IT_IS),
      ["shop/deploy/catalog", "http://kart/"],
      /kart/,
    ],
    [
      "a wrong port name",
      changed(INGRESS, { "Ingress web": toService("cart", { name: "https" }) }),
      ["internet", `http://${HOST}/cart`],
      /^503: .*Service shop\/cart has no port https.*Ingress shop\/web/,
    ],
    [
      "a missing Service",
      changed(INGRESS, { "Ingress web": toService("kart", { number: 80 }) }),
      ["internet", `http://${HOST}/cart`],
      /^503: .*Service shop\/kart.*Ingress shop\/web/,
    ],
    [
      "a certificate for another host",
      changed(INGRESS, { "Ingress web": otherHost("pay.example.com") }),
      ["internet", "https://pay.example.com/cart"],
      /^Ingress shop\/web spec\.tls\[0\]: Secret shop\/tls is for shop\.example\.com, and pay\.example\.com needs a certificate of its own; the certificate of .*Fake Certificate is for ingress\.local, not for pay\.example\.com$/,
    ],
    [
      "a missing Secret",
      changed(INGRESS, { "Ingress web": withTls("absent") }),
      ["internet", `https://${HOST}/cart`],
      /^Ingress shop\/web spec\.tls\[0\]: Secret shop\/absent is not there, and shop\.example\.com needs/,
    ],
    [
      "TLS that is not there",
      changed(INGRESS, AS_IT_IS),
      ["internet", `https://${HOST}/cart`],
      /^Ingress shop\/web has no spec\.tls for shop\.example\.com; the certificate of .*Fake/,
    ],
    [
      "another host",
      changed(INGRESS, AS_IT_IS),
      ["internet", "http://shop.example.org/"],
      /^no Ingress, Gateway or route has the host shop\.example\.org; there is shop\.example\.com$/,
    ],
    [
      "a path that no rule has",
      changed(INGRESS, {
        "Ingress web": (spec: IngressSpec) => ({
          ...spec,
          rules: spec.rules.map((rule) => ({
            ...rule,
            http: { paths: rule.http.paths.slice(0, 1) },
          })),
        }),
      }),
      ["internet", `http://${HOST}/dog`],
      /^404: no path of shop\.example\.com matches \(Ingress shop\/web\), and there is no default backend$/,
    ],
    [
      "a backend that is no Service",
      changed(INGRESS, {
        "Ingress web": (spec: IngressSpec) => ({
          ...spec,
          rules: spec.rules.map((rule) => ({
            ...rule,
            http: {
              paths: rule.http.paths.map((path) => ({
                ...path,
                backend: { resource: { apiGroup: "example.com", kind: "Bucket", name: "b" } },
              })),
            },
          })),
        }),
      }),
      ["internet", `http://${HOST}/cart`],
      /^404: Ingress shop\/web spec\.rules\[0\]\.http\.paths\[0\]\.backend: is no Service, so the path is left out$/,
    ],
    [
      "a pod whose probe fails",
      changed(INGRESS, {
        "Deployment cart": withContainer({
          readinessProbe: { httpGet: { path: "/up", port: 81 } },
        }),
      }),
      ["internet", `http://${HOST}/cart`],
      /^503: Service shop\/cart has 2 endpoints, and none is ready; pod shop\/cart-\S+: the readiness probe of container cart \(GET \/up on port 81\) does not succeed \(Ingress shop\/web /,
    ],
    [
      "a targetPort that the pod does not listen on",
      changed(INGRESS, {
        "Service cart": (spec: object) => ({
          ...spec,
          ports: [{ name: "http", port: 80, targetPort: 9999 }],
        }),
      }),
      ["internet", `http://${HOST}/cart`],
      /^502: endpoint \S+:9999 of Service shop\/cart: ECONNREFUSED .*; pod shop\/cart-\S+ has no port 9999 \(\S+\), but web 8080: mend the Service's targetPort \(Ingress shop\/web /,
    ],
    [
      "a cluster IP from outside",
      changed(INGRESS, AS_IT_IS),
      ["internet", "https://10.96.0.1/"],
      /^10\.96\.0\.1 is the cluster IP of Service default\/kubernetes, to which nothing outside the cluster has a way: ask/,
    ],
    [
      "a port of a node that has a Service's external IP, too",
      changed(APPS, {
        "Service cart": (spec: object) => ({ ...spec, externalIPs: ["192.168.0.11"] }),
      }),
      ["internet", "http://192.168.0.11:30099/"],
      /^ENETUNREACH .*: dropped at router\/eth1 by filter FORWARD: /,
    ],
    ...MODES.map((mode): [string, string, string[], RegExp] => [
      `a node without an endpoint, in ${mode} mode`,
      changed(APPS, {
        "Deployment cart": undefined,
        "Service cart": (spec: object) => ({
          ...spec,
          type: "NodePort",
          externalTrafficPolicy: "Local",
          ports: [{ port: 80, targetPort: 8080, nodePort: 30081 }],
        }),
      }),
      ["192.168.0.99", "http://192.168.0.11:30081/", "--proxy-mode", mode],
      /^Service shop\/cart takes connections from outside on nodes with a ready endpoint alone \(externalTrafficPolicy: Local\), and node1 has none; no node has$/,
    ]),
    [
      "another host, of those that somebody serves",
      changed(INGRESS, AS_IT_IS, {
        apiVersion: "networking.k8s.io/v1",
        kind: "Ingress",
        metadata: { name: "other", namespace: "shop" },
        spec: { ingressClassName: "haproxy", rules: [{ host: "shop.example.net" }] },
      }),
      ["internet", "http://shop.example.org/"],
      /^no Ingress, Gateway or route has the host shop\.example\.org; there is shop\.example\.com$/,
    ],
    [
      "no door at all",
      changed(APPS, AS_IT_IS),
      ["internet", `http://${HOST}/`],
      /^shop\.example\.com: NXDOMAIN .*; the cluster has no Ingress and no Gateway, by which the world would know it$/,
    ],
    [
      "no load balancer",
      changed(INGRESS, AS_IT_IS),
      ["internet", `http://${HOST}/`, "--load-balancer", "none"],
      /^Ingress shop\/web has no address: no load balancer serves Service ingress-nginx\/ingress-nginx-controller$/,
    ],
  ])("%s", async (_, input, args, expected) => {
    const { status, stdout } = await curl(input, ...args);
    expect(stdout.trimEnd().split("\n").at(-1)).toMatch(expected);
    expect(status).toBe(1);
  });
});

type GatewaySpec = { readonly gatewayClassName: string; readonly listeners: readonly object[] };
type RouteSpec = {
  readonly rules: readonly { readonly backendRefs: readonly object[] }[];
  readonly [field: string]: unknown;
};

const listeners =
  (...all: object[]) =>
  (spec: GatewaySpec) => ({ ...spec, listeners: all });
const listener = (more: object) => listeners(more);
const HTTP = { name: "http", port: 80, protocol: "HTTP" };
const https = (secret: string, name = "tls", more: object = {}) => ({
  name,
  port: 443,
  protocol: "HTTPS",
  tls: { certificateRefs: [{ name: secret }] },
  ...more,
});
const tlsListener = (name: string) => listener(https(name));
const toBackend = (ref: object) => (spec: RouteSpec) => ({
  ...spec,
  rules: spec.rules.map((rule) => ({ ...rule, backendRefs: [ref] })),
});
const inOther = (kind: string, name: string, rest: object): Manifest => ({
  apiVersion: "v1",
  kind,
  metadata: { name, namespace: "other" },
  ...rest,
});

describe("a break of a Gateway names the object to mend", () => {
  test.each<[string, string, string[], RegExp]>([
    [
      "no endpoints",
      changed(GATEWAY, { "Deployment cart": undefined }),
      ["internet", `http://${HOST}/cart`],
      /^503: Service shop\/cart has no endpoints: its selector app=cart finds no running pod \(HTTPRoute shop\/web spec\.rules\[0\]\)$/,
    ],
    [
      "a policy on the backend",
      changed(GATEWAY, AS_IT_IS, denies("shop", "Ingress")),
      ["internet", `http://${HOST}/cart`, "--policy", "standalone"],
      /^504: NetworkPolicy shop\/deny.* does not let cnilab-gateway\/\S+ \(\S+\) reach shop\/cart-\S+ \(\S+:8080\): allow TCP port 8080 there$/,
    ],
    [
      "a missing class",
      changed(GATEWAY, {
        "Gateway edge": (spec: GatewaySpec) => ({ ...spec, gatewayClassName: "istio" }),
      }),
      ["internet", `http://${HOST}/cart`],
      /^Gateway shop\/edge names GatewayClass istio, which is not there: create it, or set spec\.gatewayClassName \(there is cnilab\)$/,
    ],
    [
      "a class of a controller that does not run",
      changed(
        GATEWAY,
        { "Gateway edge": (spec: GatewaySpec) => ({ ...spec, gatewayClassName: "eg" }) },
        {
          apiVersion: "gateway.networking.k8s.io/v1",
          kind: "GatewayClass",
          metadata: { name: "eg" },
          spec: { controllerName: "gateway.example.io/controller" },
        },
      ),
      ["internet", `http://${HOST}/cart`],
      /^Gateway shop\/edge: GatewayClass eg is of controller gateway\.example\.io\/controller, which does not run here; cnilab's is cnilab\.dev\/gateway-controller$/,
    ],
    [
      "a wrong port",
      changed(GATEWAY, { "HTTPRoute web": toBackend({ name: "cart", port: 81 }) }),
      ["internet", `http://${HOST}/cart`],
      /^50[03]: .*Service shop\/cart.* port 81.*HTTPRoute shop\/web/,
    ],
    [
      "a weight of 0",
      changed(GATEWAY, { "HTTPRoute web": toBackend({ name: "cart", port: 80, weight: 0 }) }),
      ["internet", `http://${HOST}/cart`],
      /^500: no backend of the rule has a weight above 0 \(HTTPRoute shop\/web spec\.rules\[0\]\)$/,
    ],
    [
      "a missing Service",
      changed(GATEWAY, { "HTTPRoute web": toBackend({ name: "kart", port: 80 }) }),
      ["internet", `http://${HOST}/cart`],
      /^500: .*shop\/kart.*HTTPRoute shop\/web/,
    ],
    [
      "a missing ReferenceGrant",
      changed(
        GATEWAY,
        { "HTTPRoute web": toBackend({ name: "cart", namespace: "other", port: 80 }) },
        { apiVersion: "v1", kind: "Namespace", metadata: { name: "other" } },
        inOther("Service", "cart", { spec: { ports: [{ port: 80 }] } }),
      ),
      ["internet", `http://${HOST}/cart`],
      /^500: .*ReferenceGrant.*other.*HTTPRoute shop\/web/,
    ],
    [
      "a listener that does not let the route in",
      changed(GATEWAY, {
        "Gateway edge": listener({
          name: "http",
          port: 80,
          protocol: "HTTP",
          allowedRoutes: {
            namespaces: { from: "Selector", selector: { matchLabels: { a: "b" } } },
          },
        }),
      }),
      ["internet", `http://${HOST}/cart`],
      /^HTTPRoute shop\/web: Accepted is False, NotAllowedByListeners: /,
    ],
    [
      "a certificate for another host",
      changed(GATEWAY, {
        "Gateway edge": tlsListener("tls"),
        "HTTPRoute web": (spec: RouteSpec) => ({ ...spec, hostnames: ["pay.example.com"] }),
      }),
      ["internet", "https://pay.example.com/cart"],
      /^Gateway shop\/edge listener tls: Secret shop\/tls is for shop\.example\.com, and pay\.example\.com needs a certificate of its own; /,
    ],
    [
      "a missing Secret",
      changed(GATEWAY, { "Gateway edge": tlsListener("absent") }),
      ["internet", `https://${HOST}/cart`],
      /^(Gateway shop\/edge listener tls: ResolvedRefs is False, InvalidCertificateRef: .*shop\/absent|HTTPRoute shop\/web: )/,
    ],
    [
      "a missing Secret of one listener of two",
      changed(GATEWAY, { "Gateway edge": listeners(HTTP, https("absent")) }),
      ["internet", `https://${HOST}/cart`],
      /^Gateway shop\/edge listener tls: ResolvedRefs is False, InvalidCertificateRef: Secret shop\/absent is not there$/,
    ],
    [
      "a missing Secret beside another host's on one port",
      changed(GATEWAY, {
        "Gateway edge": listeners(
          https("tls", "tls", { hostname: HOST }),
          https("absent", "miss", { hostname: "miss.example.com" }),
        ),
      }),
      ["internet", "https://miss.example.com/cart"],
      /^Gateway shop\/edge listener miss: ResolvedRefs is False, InvalidCertificateRef: Secret shop\/absent is not there$/,
    ],
    [
      "a missing Secret of a host, where another listener has all",
      changed(GATEWAY, {
        "Gateway edge": listeners(
          https("tls"),
          https("absent", "miss", { hostname: "miss.example.com" }),
        ),
      }),
      ["internet", "https://miss.example.com/cart"],
      /^Gateway shop\/edge listener miss: ResolvedRefs is False, InvalidCertificateRef: Secret shop\/absent is not there; the certificate of .* is for shop\.example\.com, not for miss/,
    ],
    [
      "listeners in each other's way",
      changed(GATEWAY, {
        "Gateway edge": listeners(
          { ...HTTP, hostname: "*.example.com" },
          https("tls", "tls", { port: 80 }),
          { ...HTTP, name: "other", port: 8080 },
        ),
      }),
      ["internet", `http://${HOST}/cart`],
      /^Gateway shop\/edge listener http: Accepted is False, ProtocolConflict: another listener has port 80 already$/,
    ],
    [
      "a server name that no TLSRoute has",
      changed(GATEWAY, {
        "Gateway edge": listener({
          name: "pass",
          port: 443,
          protocol: "TLS",
          tls: { mode: "Passthrough" },
        }),
      }),
      ["internet", `https://${HOST}/`, "--resolve", `${HOST}:443:198.51.100.1`],
      /^no TLSRoute of listener pass of Gateway shop\/edge has server name shop\.example\.com$/,
    ],
    [
      "a path that no route has, beside a listener that something is wrong with",
      changed(GATEWAY, {
        "Gateway edge": listeners(HTTP, https("absent")),
        "HTTPRoute web": (spec: RouteSpec) => ({ ...spec, rules: spec.rules.slice(0, 1) }),
      }),
      ["internet", `http://${HOST}/dog`],
      /^404: no route of listener http of Gateway shop\/edge matches$/,
    ],
    [
      "http to a listener of TLS alone",
      changed(GATEWAY, { "Gateway edge": tlsListener("tls") }),
      ["internet", `http://${HOST}/cart`],
      /^Gateway shop\/edge has no listener on port 80 for http; it has tls 443 \(HTTPS\)$/,
    ],
  ])("%s", async (_, input, args, expected) => {
    const { status, stdout } = await curl(input, ...args);
    expect(stdout.trimEnd().split("\n").at(-1)).toMatch(expected);
    expect(status).toBe(1);
  });
});
