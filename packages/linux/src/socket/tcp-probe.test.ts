import type { VirtualClock } from "@cnilab/core";
import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { cable, Lab, up } from "../../test/lab.ts";
import { startEchoServer } from "./echo-server.ts";
import { tcpProbe } from "./tcp-probe.ts";

test.each<[string, port: number, isUp: boolean, connected: boolean, afterMs: number]>([
  ["a server", 80, true, true, 0],
  ["nobody on that port", 81, true, false, 0],
  ["a machine that is off", 80, false, false, 1000],
])("a probe of %s", (_, port, isUp, connected, afterMs) => {
  const [client, server] = new Lab().machine("a", "b");
  const [near, far] = cable(client, "eth0", server, "eth0");
  up(near, "10.0.0.1/24");
  up(far, "10.0.0.2/24");
  startEchoServer(server, { protocol: IPPROTO_TCP, port: 80, owner: "httpd" });
  if (!isUp) far.setDown();
  const clock = client.network.clock as VirtualClock;
  const told: [number, boolean][] = [];
  const options = { dst: parseIp("10.0.0.2"), port, owner: "probe", timeoutMs: 1000 };
  tcpProbe(client, options, (result) => told.push([clock.now, result]));
  clock.settle();
  expect(told).toEqual([[afterMs, connected]]);
  for (const netns of [client, server]) expect([...netns.sockets.tcpConnections.all()]).toEqual([]);
});
