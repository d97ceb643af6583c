import { describe, expect, test } from "vitest";
import { type Answer, cnilab } from "./cnilab.ts";

const INPUT = `
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: node2, containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client, labels: {app: client}}, spec: {nodeName: node1, containers: [{name: c, image: curl}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: client}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
    - toEndpoints: [{matchLabels: {"k8s:io.kubernetes.pod.namespace": kube-system, k8s-app: kube-dns}}]
      toPorts: [{ports: [{port: "53", protocol: ANY}], rules: {dns: [{matchPattern: "web.*.svc.cluster.local"}]}}]
    - toEndpoints: [{matchLabels: {app: web}}]
      toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: /public}]}}]
`;
const FLAGS = ["--cni", "cilium", "--nodes", "2", "-f", "-"];

async function run(...args: readonly string[]): Promise<Answer> {
  return cnilab([...args, ...FLAGS], { input: INPUT });
}

/** Lines of flows without times, numbers and the generated parts of names. */
function flows(text: string): string[] {
  return text
    .trim()
    .split("\n")
    .map((line) =>
      line
        .replace(/^.*?: /, "")
        .replace(/-[0-9a-z]{8,10}-[0-9a-z]{5}/g, "")
        .replace(/ \(ID:\d+\)/g, "")
        .replace(/:\d{5}\b/g, ""),
    );
}

describe("curl through a proxy for policies", () => {
  test("a request that rules allow", async () => {
    const { status, stdout } = await run("curl", "client", "http://web/public");
    expect(status).toBe(0);
    expect(stdout).toContain("HTTP/1.1 200 OK\n  backend  default/web at ");
    expect(stdout).toMatch(
      /proxy {4}cilium-envoy on node\/node1, which sees ([0-9.]+)\n {2}seen as {2}\1\n/,
    );
    // From the pod to the proxy, and in its name from there.
    expect(stdout).toMatch(/leg 6 {2}TCP default\/client [0-9.]+ -> [0-9.]+:80 to node1\n/);
    expect(stdout).toMatch(/leg 7 {2}TCP node1 [0-9.]+ -> [0-9.]+:80 by node2 to default\/web\n/);
  });

  test("one that they do not", async () => {
    const { stdout } = await run("curl", "client", "http://web/private", "-v");
    expect(stdout).toContain("< HTTP/1.1 403 Forbidden");
    expect(stdout).toContain("< server: envoy");
    expect(stdout).toContain("\nAccess denied\n");
    expect(stdout).toContain(
      "why      no HTTP rule for egress of default/client allows GET /private",
    );
  });
});

test("dns says what is refused", async () => {
  const { status, stdout } = await run("dns", "client", "kubernetes");
  expect(status).toBe(1);
  expect(stdout).toContain("kubernetes.default.svc.cluster.local.  10.96.0.10  REFUSED");
});

test("the agent's status counts what leads to proxies", async () => {
  const { stdout } = await run("cilium", "status", "--node", "node1", "-o", "json");
  const { proxy } = JSON.parse(stdout);
  expect(proxy["total-ports"]).toBe(2);
  const names = proxy.redirects.map(({ name, proxy: by }: { name: string; proxy: string }) =>
    name.replace(/^\d+/, by),
  );
  expect(names).toEqual(
    expect.arrayContaining([
      "cilium-dns-egress:egress:TCP:53:",
      "cilium-dns-egress:egress:UDP:53:",
      "cilium-http-egress:egress:TCP:80:",
    ]),
  );
  const text = (await run("cilium", "status", "--node", "node2")).stdout;
  expect(text).toMatch(
    /Proxy Status: +OK, ip [0-9.]+, 0 redirects active on ports 10000-20000, Envoy: external\n/,
  );
  const off = await run("cilium", "status", "--node", "node2", "--cni-set", "l7Proxy=false");
  expect(off.stdout).toMatch(/Proxy Status: +No managed proxy redirect\n/);
});

describe("observe", () => {
  test("tells of a request and its answer", async () => {
    const { stdout } = await run("observe", "client", "http://web/private", "-t", "l7");
    expect(flows(stdout).slice(-2)).toEqual([
      "default/client -> default/web:80 http-request DROPPED (HTTP/1.1 GET http://web/private)",
      "default/client <- default/web:80 http-response FORWARDED (HTTP/1.1 403 0ms (GET http://web/private))",
    ]);
  });

  test("tells of questions, and what rules make of them", async () => {
    const { stdout } = await run("observe", "client", "http://kubernetes/", "-t", "l7");
    expect(flows(stdout)[0]).toBe(
      "default/client -> kube-system/coredns:53 dns-request proxy DROPPED (DNS Query kubernetes.default.svc.cluster.local. A)",
    );
  });

  test("tells of other methods", async () => {
    const { stdout } = await run(
      "observe",
      "client",
      "http://web/public",
      "--request",
      "POST",
      "-t",
      "l7",
    );
    expect(flows(stdout).at(-1)).toContain("403 0ms (POST http://web/public)");
  });
});
