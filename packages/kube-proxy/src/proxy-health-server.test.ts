import { type ApiClient, type Node, SeededRandom, VirtualClock } from "@cnilab/core";
import { type HttpResponse, httpGet, Kernel, Network } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { HEALTHZ_PORT, ProxyHealthServer } from "./proxy-health-server.ts";

function server(object: Node | undefined) {
  const clock = new VirtualClock();
  const { initNs } = new Kernel(new Network(clock, new SeededRandom(1)), "n1");
  initNs.loopback.setUp();
  const api = { get: () => object } as unknown as ApiClient;
  const health = new ProxyHealthServer(initNs, { name: "n1", api, clock });
  health.start();
  const get = (path: string): HttpResponse | undefined => {
    let answer: HttpResponse | undefined;
    const dst = parseIp("127.0.0.1");
    const request = { dst, port: HEALTHZ_PORT, path, owner: "curl", timeoutMs: 1000 };
    httpGet(initNs, request, (response) => {
      answer = response;
    });
    return answer;
  };
  return { health, clock, get };
}

const NODE: Node = { apiVersion: "v1", kind: "Node", metadata: { name: "n1" } };
const LEAVING: Node = {
  ...NODE,
  spec: { taints: [{ key: "ToBeDeletedByClusterAutoscaler", effect: "NoSchedule" }] },
};
const DELETED: Node = {
  ...NODE,
  metadata: { name: "n1", deletionTimestamp: "2026-01-01T00:00:00Z" },
};

test.each<[string, Node | undefined, healthz: number]>([
  ["is there", NODE, 200],
  ["the autoscaler is about to delete", LEAVING, 503],
  ["is being deleted", DELETED, 503],
  ["is gone", undefined, 503],
])("a node that %s", (_, object, healthz) => {
  const { get } = server(object);
  expect([get("/healthz")?.status, get("/livez")?.status]).toEqual([healthz, 200]);
});

test("who does not keep up for a minute is not healthy until it does", () => {
  const { health, clock, get } = server(NODE);
  const both = () => [get("/healthz")?.status, get("/livez")?.status];
  health.queuedUpdate();
  clock.advance(59_999);
  health.queuedUpdate(); // the oldest counts
  expect(both()).toEqual([200, 200]);
  clock.advance(1);
  expect(both()).toEqual([503, 503]);
  health.updated();
  expect(both()).toEqual([200, 200]);
});

test("other paths are not there, and a stopped server neither", () => {
  const { health, get } = server(NODE);
  expect(get("/metrics")?.status).toBe(404);
  health.stop();
  expect(get("/healthz")).toBeUndefined();
});
