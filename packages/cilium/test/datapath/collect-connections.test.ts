import { IPPROTO_UDP } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import {
  collectConnections,
  purgeOrphanMappings,
} from "../../src/agent/conntrack/collect-connections.ts";
import { CtTuple, TUPLE_F_IN } from "../../src/datapath/maps/conntrack-map.ts";
import type { Signal } from "../../src/datapath/node-maps.ts";
import { datagram, type LabNode } from "./datapath-lab.ts";
import { NODE_PORT, ServiceLab, type ServiceLabOptions, serviceSpec } from "./service-lab.ts";

function world(options: ServiceLabOptions = {}) {
  const services = new ServiceLab(options);
  const { family } = services.lab;
  const one = services.node();
  const two = services.node();
  const far = services.backend(two, 1002);
  services.put("web", { spec: serviceSpec(family, { type: "NodePort" }) }, [{ pod: far }]);
  const client = services.client(one);
  const ask = (srcPort = 40_000) => datagram(client, one.address, NODE_PORT, { srcPort });
  const seconds = () => Math.floor(services.lab.clock.now / 1000);
  const collect = ({ maps }: LabNode) => {
    const [tcp, any] = family === 4 ? [maps.ct4, maps.ctAny4] : [maps.ct6, maps.ctAny6];
    const snat = maps.snat(family);
    return {
      expired: () =>
        collectConnections(tcp, snat, seconds()) + collectConnections(any, snat, seconds()),
      orphans: () => purgeOrphanMappings(tcp, any, snat),
      left: () => [tcp.size + any.size, snat.size],
      any,
      snat,
    };
  };
  return { services, family, one, two, far, ask, collect };
}

describe.each([4, 6] as const)("IPv%i", (family) => {
  test.each<[string, ServiceLabOptions]>([
    ["snat", {}],
    ["dsr", { lb: { mode: "dsr" } }],
  ])("connections that are over go with their mappings, %s", (_name, options) => {
    const { services, one, two, ask, collect } = world({ family, ...options });
    ask();
    for (const node of [one, two]) {
      const { expired, left, orphans } = collect(node);
      const before = left();
      expect([expired(), orphans()]).toEqual([0, 0]);
      expect(left()).toEqual(before);
    }
    services.lab.clock.advance(61_000);
    for (const node of [one, two]) {
      const { expired, left } = collect(node);
      expect(expired()).toBeGreaterThan(0);
      expect(left()).toEqual([0, 0]);
    }
  });

  test("mappings without a connection are orphans", () => {
    const { one, ask, collect } = world({ family });
    ask(40_000);
    ask(40_001);
    const { any, snat, orphans } = collect(one);
    for (const [key] of any.entries()) if (key.sport === 40_000) any.delete(key);
    expect(snat.size).toBe(4);
    expect(orphans()).toBe(2);
    expect(snat.size).toBe(2);
    expect(ask(40_001).report?.seenPort).toBe(40_001);
  });
});

test("who finds no free port for long wakes the agent", () => {
  const { one, far, ask } = world();
  const signals: Signal[] = [];
  one.maps.signals.read((signal) => signals.push(signal));
  ask();
  expect(signals).toEqual([]);
  for (let port = 32_768; port <= 65_535; port++) {
    const key = new CtTuple(one.address, far.address, port, 8080, IPPROTO_UDP, TUPLE_F_IN);
    one.maps.snat4.update(key, { toAddress: 1, toPort: port, created: 0, needsCt: false });
  }
  ask(40_002);
  expect(signals).toEqual([{ signal: "nat-fill-up", family: 4 }]);
});
