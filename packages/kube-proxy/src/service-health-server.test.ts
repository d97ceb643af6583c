import { type KubeObject, SeededRandom, VirtualClock } from "@cnilab/core";
import {
  Dummy,
  type HttpResponse,
  httpGet,
  Kernel,
  type NetNamespace,
  Network,
  startEchoServer,
} from "@cnilab/linux";
import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { service, slice } from "../test/objects.ts";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "./config.ts";
import { StandAloneKubeProxy } from "./stand-alone.ts";

const HTTP = [{ name: "http", port: 8080, protocol: "TCP" }] as const;
const NODE: KubeObject = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "n1" },
  status: { addresses: [{ type: "InternalIP", address: "192.0.2.1" }] },
} as KubeObject;

function web(healthCheckNodePort: number, ports = ["http"]): KubeObject {
  return service("web", {
    type: "LoadBalancer",
    clusterIP: "10.96.0.10",
    externalTrafficPolicy: "Local",
    healthCheckNodePort,
    ports: ports.map((name, i) => ({ name, port: 80 + i, nodePort: 30_080 + i })),
  });
}

function node(settings: Partial<KubeProxyConfig> = {}) {
  const { initNs } = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "n1");
  initNs.loopback.setUp();
  const eth0 = new Dummy(initNs, { name: "eth0" });
  eth0.setUp();
  eth0.addAddress(parseIp("192.0.2.1"), 24);
  const proxy = new StandAloneKubeProxy(initNs, "n1", { ...DEFAULT_CONFIG, ...settings });
  return { netns: initNs, proxy };
}

function get(netns: NetNamespace, port: number, ip = "192.0.2.1"): HttpResponse | undefined {
  let answer: HttpResponse | undefined;
  const request = { dst: parseIp(ip), port, path: "/", owner: "curl", timeoutMs: 1000 };
  httpGet(netns, request, (response) => {
    answer = response;
  });
  return answer;
}

test.each<[string, string[], status: number, weight: string]>([
  ["endpoints here", ["10.244.1.1@n1", "10.244.1.2@n1", "10.244.2.1@n2"], 200, "2"],
  ["endpoints elsewhere", ["10.244.2.1@n2"], 503, "0"],
  ["none that is ready", ["10.244.1.1@n1~", "10.244.1.2@n1!"], 503, "0"],
  ["none", [], 503, "0"],
])("a health check port with %s", (_, endpoints, status, weight) => {
  const { netns, proxy } = node();
  proxy.apply([NODE, web(31_000), slice("web", HTTP, endpoints)]);
  const answer = get(netns, 31_000);
  expect(answer?.status).toBe(status);
  expect(answer?.headers["X-Load-Balancing-Endpoint-Weight"]).toBe(weight);
});

test("the body is the real one's, byte for byte", () => {
  const { netns, proxy } = node();
  proxy.apply([NODE, web(31_000), slice("web", HTTP, ["10.244.1.1@n1"])]);
  // Of kube-proxy v1.35.4, by curl.
  expect(get(netns, 31_000)?.body).toBe(
    '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 1,\n\t"serviceProxyHealthy": true\n}',
  );
});

test("an address with two ports is one endpoint", () => {
  const { netns, proxy } = node();
  const ports = [...HTTP, { name: "admin", port: 9090, protocol: "TCP" }] as const;
  proxy.apply([NODE, web(31_000, ["http", "admin"]), slice("web", ports, ["10.244.1.1@n1"])]);
  expect(get(netns, 31_000)?.headers["X-Load-Balancing-Endpoint-Weight"]).toBe("1");
});

test("a port opens, moves and closes with its Service", () => {
  const { netns, proxy } = node();
  const endpoints = slice("web", HTTP, ["10.244.1.1@n1"]);
  const open = () => [31_000, 31_001].filter((port) => get(netns, port) !== undefined);
  const seen = [[web(31_000), endpoints], [web(31_001), endpoints], []].map((objects) => {
    proxy.apply([NODE, ...objects]);
    return open();
  });
  expect(seen).toEqual([[31_000], [31_001], []]);
});

test("a port that somebody has is opened when it is free", () => {
  const { netns, proxy } = node();
  const other = startEchoServer(netns, { protocol: IPPROTO_TCP, port: 31_000, owner: "other" });
  const objects = [NODE, web(31_000), slice("web", HTTP, ["10.244.1.1@n1"])];
  proxy.apply(objects);
  const weight = () => get(netns, 31_000)?.headers["X-Load-Balancing-Endpoint-Weight"];
  expect(weight()).toBeUndefined();
  other.close();
  proxy.apply(objects);
  expect(weight()).toBe("1");
});

test.each<[string, Partial<KubeProxyConfig>, onLoopback: boolean]>([
  ["everywhere", {}, true],
  ["where node ports are", { nodePortAddresses: ["192.0.2.0/24"] }, false],
  ["on the primary address in nftables mode", { mode: "nftables" }, false],
])("health check ports are open %s", (_, settings, onLoopback) => {
  const { netns, proxy } = node(settings);
  proxy.apply([NODE, web(31_000), slice("web", HTTP, ["10.244.1.1@n1"])]);
  expect(get(netns, 31_000)?.status).toBe(200);
  expect(get(netns, 31_000, "127.0.0.1") !== undefined).toBe(onLoopback);
});
