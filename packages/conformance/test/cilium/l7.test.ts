// Policies of HTTP and DNS in running clusters: what proxies let pass, whom servers see, and what names open.
import { cilium } from "@cnilab/cilium";
import { type Cluster, createCluster, parseManifests } from "@cnilab/cluster";
import type { CniOptionValues } from "@cnilab/core";
import { registerCoreDns } from "@cnilab/dns";
import { registerKubeProxy } from "@cnilab/kube-proxy";
import { EchoedRequest, HttpFailure, headerOf, ProxyNote } from "@cnilab/linux";
import { formatIp, type IpFamily } from "@cnilab/net";
import { describe, expect, test } from "vitest";

const PODS = `
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: node2, containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: near, labels: {app: near}}, spec: {nodeName: node1, containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, labels: {app: client}}, spec: {nodeName: node1, containers: [{name: c, image: curl}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: friend, labels: {app: friend}}, spec: {nodeName: node1, containers: [{name: c, image: curl}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: stranger, labels: {app: stranger}}, spec: {nodeName: node1, containers: [{name: c, image: curl}]}}
`;

/** What is asked outside has these addresses. */
const COREDNS = `
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        health
        ready
        hosts {
            192.0.2.10 api.example.com
            2001:db8::10 api.example.com
            2001:db8::11 www.example.com
            192.0.2.11 www.example.com
            192.0.2.12 a.b.example.com
            192.0.2.13 other.test
            ttl 30
            no_reverse
        }
        kubernetes cluster.local in-addr.arpa ip6.arpa
    }
`;

function policy(name: string, spec: string): string {
  return `---\n{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: ${name}}, spec: ${spec}}\n`;
}

interface LabOptions {
  readonly options?: CniOptionValues;
  readonly ipFamilies?: readonly IpFamily[];
}

function lab(text: string, { options = {}, ipFamilies = [4] }: LabOptions = {}): Cluster {
  const cluster = createCluster({
    cni: cilium,
    cniOptions: options,
    nodes: 2,
    config: { ipFamilies },
    register: (root) => {
      registerKubeProxy(root);
      registerCoreDns(root);
    },
  });
  const { resources = [] } = cilium;
  const manifests = `${PODS}---${COREDNS}${text}`;
  cluster.apply(parseManifests(manifests, "objects.yaml", { resources }).objects);
  cluster.settle();
  return cluster;
}

interface Asked {
  readonly status: number | string;
  readonly seen: string | undefined;
  /** The proxy's program. */
  readonly proxy: string | undefined;
}

function http(
  cluster: Cluster,
  from: string,
  to: string,
  parts: { readonly method?: string; readonly path?: string; readonly port?: number } = {},
): Asked {
  const { port = 80, ...request } = parts;
  const { outcome, failure } = cluster.requestHttp({
    from: cluster.endpoint(from),
    to: cluster.endpoint(to),
    port,
    request: { host: to, ...request },
    connectTimeoutMs: 5000,
    maxTimeMs: 60_000,
  });
  const result = outcome?.result;
  if (result === undefined || result instanceof HttpFailure) {
    const status = result?.error?.errno ?? result?.stage ?? failure?.verdict ?? "nothing";
    return { status, seen: undefined, proxy: undefined };
  }
  const server = result.notes.find((note) => note instanceof EchoedRequest)?.report;
  const note = result.notes.find((each) => each instanceof ProxyNote);
  return {
    status: result.status,
    seen: server && whoHas(cluster, formatIp(server.seenAddress)),
    proxy: note?.server.owner,
  };
}

/** A pod by its name, a node by `node`. */
function whoHas(cluster: Cluster, ip: string): string {
  const pods = cluster.api.list("Pod");
  const pod = pods.find(({ status }) => status?.podIPs?.some((each) => each.ip === ip));
  return pod?.metadata.name ?? "node";
}

function lookUp(cluster: Cluster, pod: string, name: string, type = "A"): string {
  // Without the search list, which rules of DNS would have to allow, too.
  const found = cluster.lookUp(cluster.endpoint(pod), `${name}.`, { type });
  if ("verdict" in found) return found.verdict;
  const { answer, problem = "" } = found;
  const addresses = answer?.answer.map(({ data }) => data) ?? [];
  return addresses.length > 0 ? addresses.join(" ") : `${answer?.rcode} ${problem}`;
}

const WEB_POLICY = policy(
  "web",
  `{endpointSelector: {matchExpressions: [{key: app, operator: In, values: [web, near]}]}, ingress: [
    {fromEndpoints: [{matchLabels: {app: client}}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: "/public/.*"}]}}]},
    {fromEndpoints: [{matchLabels: {app: friend}}]}]}`,
);
const MODES: readonly (readonly [name: string, lab: LabOptions])[] = [
  ["vxlan", {}],
  ["geneve, both families", { options: { tunnelProtocol: "geneve" }, ipFamilies: [4, 6] }],
  ["vxlan, IPv6", { ipFamilies: [6] }],
  [
    "native, IPv6",
    { options: { routingMode: "native", autoDirectNodeRoutes: true }, ipFamilies: [6] },
  ],
  ["native", { options: { routingMode: "native", autoDirectNodeRoutes: true } }],
  [
    "native with endpoint routes",
    {
      options: {
        routingMode: "native",
        autoDirectNodeRoutes: true,
        "endpointRoutes.enabled": true,
      },
    },
  ],
  ["endpoint routes and tunnels", { options: { "endpointRoutes.enabled": true } }],
  ["without kube-proxy", { options: { kubeProxyReplacement: true } }],
  ["eBPF host routing", { options: { kubeProxyReplacement: true, "bpf.masquerade": true } }],
  [
    "native, both families, WireGuard",
    {
      options: {
        routingMode: "native",
        autoDirectNodeRoutes: true,
        "encryption.enabled": true,
        "encryption.type": "wireguard",
      },
      ipFamilies: [6, 4],
    },
  ],
  ["WireGuard", { options: { "encryption.enabled": true, "encryption.type": "wireguard" } }],
];

describe.each(MODES)("ingress rules of HTTP: %s", (_name, options) => {
  const cluster = lab(WEB_POLICY, options);

  test.each<[from: string, method: string, path: string, expected: Asked]>([
    ["client", "GET", "/public/1", { status: 200, seen: "node", proxy: "cilium-envoy" }],
    ["client", "GET", "/private", { status: 403, seen: undefined, proxy: "cilium-envoy" }],
    ["client", "POST", "/public/1", { status: 403, seen: undefined, proxy: "cilium-envoy" }],
    // Whoever has no rules of HTTP is not sent to the proxy.
    ["friend", "POST", "/private", { status: 200, seen: "friend", proxy: undefined }],
    ["stranger", "GET", "/public/1", { status: "connect", seen: undefined, proxy: undefined }],
  ])("%s %s %s", (from, method, path, expected) => {
    for (const to of ["web", "near"]) {
      expect(http(cluster, from, to, { method, path })).toEqual(expected);
    }
  });
});

describe.each(MODES)("egress rules of HTTP: %s", (_name, options) => {
  const cluster = lab(
    policy(
      "client",
      `{endpointSelector: {matchLabels: {app: client}}, egress: [
        {toEndpoints: [{}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: "/public"}]}}]}]}`,
    ),
    options,
  );

  test.each<[to: string, path: string, expected: Asked]>([
    ["web", "/public", { status: 200, seen: "client", proxy: "cilium-envoy" }],
    ["web", "/private", { status: 403, seen: undefined, proxy: "cilium-envoy" }],
    // By the node's address where whom it asks is on the same node (cilium/bpf_metadata.cc).
    ["near", "/public", { status: 200, seen: "node", proxy: "cilium-envoy" }],
  ])("to %s for %s", (to, path, expected) => {
    expect(http(cluster, "client", to, { path })).toEqual(expected);
  });
});

describe("names", () => {
  const NAMES = policy(
    "client",
    `{endpointSelector: {matchLabels: {app: client}}, egress: [
      {toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, k8s-app: kube-dns}}],
       toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*.example.com"}, {matchName: "a.b.example.com"}]}}]},
      {toFQDNs: [{matchName: api.example.com}], toPorts: [{ports: [{port: "443", protocol: TCP}]}]},
      {toFQDNs: [{matchPattern: "*.example.com"}], toPorts: [{ports: [{port: "80", protocol: TCP}]}]}]}`,
  );

  function verdict(cluster: Cluster, to: string): string {
    const ends = { from: cluster.endpoint("client"), to: cluster.endpoint(to) };
    const { verdict, reason } = cluster.connect(ends);
    if (verdict === "allowed") return verdict;
    return reason.includes("CiliumNetworkPolicy default/client (egress)") ? "denied" : reason;
  }

  test.each(MODES)("open what they stand for: %s", (_name, options) => {
    const cluster = lab(NAMES, options);
    const isIpv6 = options.ipFamilies?.[0] === 6;
    const [api, www, type] = isIpv6
      ? (["2001:db8::10", "2001:db8::11", "AAAA"] as const)
      : (["192.0.2.10", "192.0.2.11", "A"] as const);
    const at = (address: string, port: number) =>
      verdict(cluster, isIpv6 ? `[${address}]:${port}` : `${address}:${port}`);
    expect(at(api, 443)).toBe("denied");
    expect(lookUp(cluster, "client", "api.example.com", type)).toBe(api);
    expect([443, 80, 8080].map((port) => at(api, port))).toEqual(["allowed", "allowed", "denied"]);
    expect(at(www, 80)).toBe("denied");
  });

  const cluster = lab(NAMES);

  test.each([
    ["www.example.com", "192.0.2.11", "80", "allowed"],
    // Only names that match: the pattern's star is one label.
    ["www.example.com", "192.0.2.11", "443", "denied"],
    ["a.b.example.com", "192.0.2.12", "80", "denied"],
    ["other.test", "REFUSED", "80", "denied"],
  ])("%s is %s, and port %s %s", (name, found, port, expected) => {
    expect(lookUp(cluster, "client", name)).toContain(found);
    const address = found === "REFUSED" ? "192.0.2.13" : found;
    expect(verdict(cluster, `${address}:${port}`)).toBe(expected);
  });

  test("who has no rules of DNS asks the server itself", () => {
    expect(lookUp(cluster, "friend", "other.test")).toBe("192.0.2.13");
  });

  test("what has expired is closed once it is collected and no connection uses it", () => {
    const own = lab(NAMES);
    lookUp(own, "client", "api.example.com");
    own.clock.advance(29_000);
    expect(verdict(own, "192.0.2.10:443")).toBe("allowed");
    // A connection that is tracked keeps it for as long as it is.
    own.clock.advance(5 * 60_000);
    expect(verdict(own, "192.0.2.10:443")).toBe("allowed");
    own.clock.advance(60 * 60_000);
    expect(verdict(own, "192.0.2.10:443")).toBe("denied");
  });
});

// The node in between puts its own address there; who asks is known by the identity that came with the packets.
test.each([false, true])("from outside by another node's port, without kube-proxy: %s", (alone) => {
  const cluster = lab(
    `---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}}
${policy(
  "world",
  `{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEntities: [world], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: "/public"}]}}]}]}`,
)}`,
    { options: { kubeProxyReplacement: alone } },
  );
  const ask = (path: string) => http(cluster, "192.168.5.5", "192.168.0.11", { path, port: 30080 });
  expect(ask("/public")).toEqual({ status: 200, seen: "node", proxy: "cilium-envoy" });
  expect(ask("/private").status).toBe(403);
});

test("TLS where rules are of HTTP is reset", () => {
  const cluster = lab(
    policy(
      "client",
      `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]}`,
    ),
  );
  const { outcome } = cluster.requestHttp({
    from: cluster.endpoint("client"),
    to: cluster.endpoint("web"),
    port: 80,
    tls: { host: "web.example.com", insecure: true },
    request: { host: "web.example.com" },
    connectTimeoutMs: 5000,
    maxTimeMs: 5000,
  });
  const result = outcome?.result;
  expect(result instanceof HttpFailure ? result.error?.errno : result?.status).toBe("ECONNRESET");
});

describe("names that clients say in TLS", () => {
  const cluster = lab(
    `---
{apiVersion: v1, kind: Pod, metadata: {name: shop, labels: {app: shop}}, spec: {nodeName: node2, containers: [{name: c, image: nginx, ports: [{containerPort: 443}]}]}}
${policy(
  "client",
  `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [shop.example.com, "*.api.example.com"]}]}]}`,
)}`,
  );

  test.each([
    ["client", "shop.example.com", 200],
    ["client", "SHOP.example.com", 200],
    ["client", "v1.api.example.com", 200],
    ["client", "a.v1.api.example.com", "ECONNRESET"],
    ["client", "other.example.com", "ECONNRESET"],
    // Without a name.
    ["client", "192.0.2.1", "ECONNRESET"],
    ["friend", "other.example.com", 200],
  ])("%s asks for %s: %s", (from, host, expected) => {
    const { outcome } = cluster.requestHttp({
      from: cluster.endpoint(from),
      to: cluster.endpoint("shop"),
      port: 443,
      tls: { host, insecure: true },
      request: { host },
      connectTimeoutMs: 5000,
      maxTimeMs: 5000,
    });
    const result = outcome?.result;
    const error =
      result instanceof HttpFailure ? (result.error?.errno ?? result.message) : undefined;
    expect(result instanceof HttpFailure ? error : result?.status).toBe(expected);
  });
});

test("a deny rule stands above rules of HTTP", () => {
  const deny = policy(
    "deny",
    `{endpointSelector: {matchLabels: {app: web}}, ingressDeny: [{fromEndpoints: [{matchLabels: {app: client}}]}]}`,
  );
  const cluster = lab(WEB_POLICY + deny);
  expect(http(cluster, "client", "web", { path: "/public/1" }).status).toBe("connect");
  expect(http(cluster, "friend", "web").status).toBe(200);
});

test("headers that are missing are added, and those of the proxy are there", () => {
  const cluster = lab(
    policy(
      "web",
      `{endpointSelector: {matchLabels: {app: web}}, ingress: [{fromEndpoints: [{matchLabels: {app: client}}], toPorts: [{ports: [{port: "80", protocol: TCP}],
        rules: {http: [{headerMatches: [{name: X-Team, value: blue, mismatch: ADD}]}]}}]}]}`,
    ),
  );
  const { outcome } = cluster.requestHttp({
    from: cluster.endpoint("client"),
    to: cluster.endpoint("web"),
    port: 80,
    request: { host: "web" },
    connectTimeoutMs: 5000,
    maxTimeMs: 5000,
  });
  const result = outcome?.result;
  if (result === undefined || result instanceof HttpFailure) throw new Error("no answer");
  const echoed = result.notes.find((note) => note instanceof EchoedRequest);
  expect(headerOf(echoed?.request.headers ?? {}, "X-Team")).toBe("blue");
  expect(headerOf(result.headers, "server")).toBe("envoy");
});

test("a header is compared with what a Secret says", () => {
  const rule = (name: string) =>
    `{fromEndpoints: [{matchLabels: {app: ${name}}}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{headerMatches: [{name: Host-Key, secret: {namespace: default, name: ${name}}}]}]}}]}`;
  const cluster = lab(
    `---\n{apiVersion: v1, kind: Secret, metadata: {name: client}, data: {key: c2VjcmV0}}\n${policy(
      "web",
      `{endpointSelector: {matchLabels: {app: web}}, ingress: [${rule("client")}, ${rule("friend")}]}`,
    )}`,
  );
  const ask = (from: string, key: string) => {
    const { outcome } = cluster.requestHttp({
      from: cluster.endpoint(from),
      to: cluster.endpoint("web"),
      port: 80,
      request: { host: "web", headers: { "host-key": key } },
      connectTimeoutMs: 5000,
      maxTimeMs: 5000,
    });
    const result = outcome?.result;
    return result instanceof HttpFailure ? result.message : result?.status;
  };
  expect([ask("client", "secret"), ask("client", "other")]).toEqual([200, 403]);
  // A Secret that is not there.
  expect(ask("friend", "")).toBe(403);
});

test("a server that refuses is a 503 after three more tries", () => {
  const cluster = lab(
    policy(
      "client",
      `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEndpoints: [{}], toPorts: [{ports: [{port: "81", protocol: TCP}], rules: {http: [{}]}}]}]}`,
    ),
  );
  expect(http(cluster, "client", "web", { port: 81 }).status).toBe(503);
});

test("while the agent is away its proxy of HTTP goes on, and names are not answered", () => {
  const names = policy(
    "client",
    `{endpointSelector: {matchLabels: {app: client}}, egress: [{toEntities: [cluster], toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "*"}]}}]}, {toEntities: [cluster]}]}`,
  );
  const cluster = lab(WEB_POLICY + names);
  const get = () => http(cluster, "client", "web", { path: "/public/1" }).status;
  const post = () => http(cluster, "client", "web", { method: "POST" }).status;
  expect([get(), post(), lookUp(cluster, "client", "api.example.com")]).toEqual([
    200,
    403,
    "192.0.2.10",
  ]);
  const agents = [...cluster.nodes.values()].flatMap((node) =>
    node.agents.filter(({ name }) => name === "cilium-agent"),
  );
  for (const agent of agents) agent.stop();
  cluster.settle();
  expect([get(), post()]).toEqual([200, 403]);
  expect(lookUp(cluster, "client", "api.example.com")).not.toBe("192.0.2.10");
  for (const agent of agents) agent.start();
  cluster.settle();
  expect([get(), post(), lookUp(cluster, "client", "api.example.com")]).toEqual([
    200,
    403,
    "192.0.2.10",
  ]);
});
