import { VirtualClock } from "@cnilab/core";
import { formatIp, type IpAddress, parseIp } from "@cnilab/net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DnsCache } from "./dns-cache.ts";
import { DnsZombies } from "./dns-zombies.ts";
import { NameManager } from "./name-manager.ts";

const ip = parseIp;
const MINUTE = 60_000;

/** A manager, what its node knows, and whom endpoints have connections to. */
function lab(settings: { minTtl?: number; maxIpsPerHost?: number } = {}) {
  const clock = new VirtualClock();
  const known = new Map<string, string>();
  const connections = new Map<number, IpAddress[]>();
  const names = new NameManager(
    clock,
    { minTtl: 0, maxIpsPerHost: 1000, ...settings },
    (id) => connections.get(id) ?? [],
  );
  const sink = (address: IpAddress, of: readonly string[]) => {
    if (of.length === 0) known.delete(formatIp(address));
    else known.set(formatIp(address), of.join(" "));
  };
  names.start(sink);
  const look = () => {
    names.connectionsCollected();
    clock.schedule(5 * MINUTE, look, { background: true });
  };
  clock.schedule(5 * MINUTE, look, { background: true });
  const learn = (id: number, name: string, addresses: readonly string[], ttl = 30) =>
    names.learn(id, name, addresses.map(ip), ttl);
  return { clock, known, connections, names, learn, sink };
}

describe("names of a node", () => {
  test("are known at once, and of all endpoints together", () => {
    const { known, learn, names } = lab();
    learn(1, "api.example.com.", ["192.0.2.1", "192.0.2.2"]);
    learn(2, "www.example.com.", ["192.0.2.2"]);
    expect([...known]).toEqual([
      ["192.0.2.1", "api.example.com."],
      ["192.0.2.2", "api.example.com. www.example.com."],
    ]);
    expect(names.namesOf(1, ip("192.0.2.2"))).toEqual(["api.example.com."]);
    expect(names.namesOf(3, ip("192.0.2.2"))).toEqual([]);
  });

  test("outlive their TTL until connections have been looked at twice", () => {
    const { clock, known, learn } = lab();
    learn(1, "api.example.com.", ["192.0.2.1"]);
    clock.advance(5 * MINUTE);
    expect(known.size).toBe(1);
    clock.advance(7 * MINUTE);
    expect(known.size).toBe(0);
  });

  test.each([
    [600, 0, true],
    [30, 3600, true],
    [30, 600, false],
  ])("TTL %i, at least %i: known after 40 minutes is %s", (ttl, minTtl, expected) => {
    const { clock, known, learn } = lab({ minTtl });
    learn(1, "api.example.com.", ["192.0.2.1"], ttl === 600 ? 2400 : ttl);
    clock.advance(40 * MINUTE);
    expect(known.size > 0).toBe(expected);
  });

  test("stay while a connection uses one of their addresses", () => {
    const { clock, known, connections, learn } = lab();
    learn(1, "api.example.com.", ["192.0.2.1", "192.0.2.2"]);
    connections.set(1, [ip("192.0.2.1")]);
    clock.advance(120 * MINUTE);
    expect([...known.keys()]).toEqual(["192.0.2.1", "192.0.2.2"]);
    connections.clear();
    clock.advance(30 * MINUTE);
    expect(known.size).toBe(0);
  });

  test("that are asked again live on without being told anew", () => {
    const { clock, known, learn } = lab();
    for (let i = 0; i < 60; i++) {
      learn(1, "api.example.com.", ["192.0.2.1"]);
      clock.advance(MINUTE);
    }
    expect([...known.keys()]).toEqual(["192.0.2.1"]);
  });

  test("go with the endpoint that asked, but for those of others", () => {
    const { clock, known, learn, names } = lab();
    learn(1, "api.example.com.", ["192.0.2.1"], 3600);
    learn(2, "www.example.com.", ["192.0.2.2"], 3600);
    names.endpointRemoved(1);
    clock.advance(MINUTE);
    expect([...known.keys()]).toEqual(["192.0.2.2"]);
  });

  test("are told again to an agent that has started anew", () => {
    const { known, learn, names, sink } = lab();
    learn(1, "api.example.com.", ["192.0.2.1"]);
    names.stop();
    known.clear();
    names.start(sink);
    expect([...known]).toEqual([["192.0.2.1", "api.example.com."]]);
  });

  test("have no more addresses than they may", () => {
    const { clock, known, learn } = lab({ maxIpsPerHost: 3 });
    const all = Array.from({ length: 10 }, (_, i) => `192.0.2.${i}`);
    all.forEach((address, i) => {
      learn(1, "many.example.com.", [address], i < 7 ? 1200 + i : 36_000);
    });
    expect(known.size).toBe(10);
    clock.advance(2 * MINUTE);
    // Those that last longest, and of the others no more than as many while connections may use them.
    expect([...known.keys()].slice(-3)).toEqual(all.slice(-3));
    expect(known.size).toBeLessThanOrEqual(6);
    clock.advance(40 * MINUTE);
    expect([...known.keys()]).toEqual(all.slice(-3));
  });
});

describe("a cache", () => {
  test("keeps what lasts longer, and says what is new", () => {
    const cache = new DnsCache(0);
    const a = [ip("192.0.2.1")];
    expect(cache.update(0, "a.", a, 100)).toEqual({ upserted: true, updated: true });
    expect(cache.update(0, "a.", a, 50)).toEqual({ upserted: false, updated: false });
    expect(cache.update(60_000, "a.", a, 50)).toEqual({ upserted: false, updated: true });
    expect(cache.collect(100_001)).toEqual([]);
    expect(cache.collect(110_001).map(({ entry }) => entry.name)).toEqual(["a."]);
    expect([...cache.names()]).toEqual([]);
    expect(cache.namesOf(ip("192.0.2.1"))).toEqual([]);
  });

  test("says the same of names and addresses, whatever was told", () => {
    const answer = fc.record({
      name: fc.constantFrom("a.", "b.", "c."),
      ips: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
      ttl: fc.integer({ min: 0, max: 5 }),
      wait: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(answer, { maxLength: 30 }), (answers) => {
        const cache = new DnsCache(0, 3);
        let now = 0;
        for (const { name, ips, ttl, wait } of answers) {
          cache.update(now, name, ips, ttl);
          now += wait * 1000;
          cache.collect(now);
          for (const each of cache.names()) {
            const addresses = [...cache.addressesOf(each)];
            expect(addresses.length).toBeGreaterThan(0);
            expect(addresses.length).toBeLessThanOrEqual(3);
            for (const address of addresses) expect(cache.namesOf(address)).toContain(each);
          }
        }
      }),
    );
  });
});

test("zombies: a name that has its address again is none any more", () => {
  const zombies = new DnsZombies(1000);
  const address = ip("192.0.2.1");
  zombies.upsert(1000, address, "a.");
  zombies.upsert(1000, address, "b.");
  zombies.revive(2000, "a.", [address]);
  expect(zombies.collect().alive.map(({ names }) => [...names])).toEqual([["b."]]);
  zombies.connectionsCollected(3000);
  expect(zombies.collect().alive).toHaveLength(1);
  zombies.connectionsCollected(4000);
  expect(zombies.collect().dead).toHaveLength(1);
  expect(zombies.size).toBe(0);
});
