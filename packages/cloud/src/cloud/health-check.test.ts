import { SeededRandom, VirtualClock } from "@cnilab/core";
import { HttpResponse, Kernel, Network, Nic, Segment, startHttpServer } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { HealthCheck, localEndpointsCheck } from "./health-check.ts";

/** A checking machine and a node, whose server answers with `status`; 0 for nobody there. */
function checked(status: () => number) {
  const clock = new VirtualClock();
  const network = new Network(clock, new SeededRandom(1));
  const segment = new Segment(network, "wire");
  const [from, node] = ["checker", "node"].map((name, i) => {
    const { initNs } = new Kernel(network, name);
    const eth0 = new Nic(initNs, { name: "eth0", segment });
    eth0.setUp();
    eth0.addAddress(parseIp(`192.0.2.${i + 1}`), 24);
    return initNs;
  }) as [Kernel["initNs"], Kernel["initNs"]];
  let server: { close(): void } | undefined;
  const serve = () => {
    server?.close();
    server = undefined;
    if (status() === 0) return;
    const respond = () => new HttpResponse(status(), {}, "");
    server = startHttpServer(node, { port: 31_000, owner: "kube-proxy", respond });
  };
  serve();
  const changes: [number, boolean][] = [];
  const check: HealthCheck = new HealthCheck(
    from,
    parseIp("192.0.2.2"),
    localEndpointsCheck(31_000),
    clock,
    () => changes.push([clock.now, check.healthy]),
  );
  return { clock, check, serve, changes };
}

test("one good answer makes a node healthy, two bad ones in a row do not leave it so", () => {
  let status = 200;
  const { clock, changes } = checked(() => status);
  clock.settle();
  expect(changes).toEqual([[0, true]]);
  status = 503;
  clock.runUntil(3500); // bad at 3 s
  status = 200;
  clock.runUntil(6500); // good at 6 s
  status = 503;
  clock.runUntil(12_500); // bad at 9 and 12 s
  expect(changes).toEqual([
    [0, true],
    [12_000, false],
  ]);
});

test("who never answers is decided on after two attempts, and asked on", () => {
  let status = 0;
  const { clock, check, serve, changes } = checked(() => status);
  clock.settle();
  expect([check.healthy, clock.now]).toEqual([false, 3000]);
  status = 200;
  serve();
  clock.runUntil(6500);
  expect(changes).toEqual([[6000, true]]);
});

test("a check that is stopped asks no more", () => {
  const { clock, check, changes } = checked(() => 200);
  check.stop();
  clock.runUntil(60_000);
  expect(changes).toEqual([]);
});
