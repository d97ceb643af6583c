import { SeededRandom, VirtualClock } from "@cnilab/core";
import { parseIp, parsePrefix, tryParsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { parseNetConf } from "../conf/net-conf.ts";
import type { LeaseAttributes } from "./lease.ts";
import { LeaseStore, leaseValue, parseStoredLease, storeKey } from "./lease-store.ts";
import { LocalSubnetManager } from "./local-subnet-manager.ts";
import type { LeaseUpdate } from "./subnet-manager.ts";

const HOUR = 3_600_000;

function attributes(publicIp: string): LeaseAttributes {
  return {
    publicIp: parseIp(publicIp) as number,
    publicIpv6: undefined,
    backendType: "host-gw",
    backendData: "null",
    backendV6Data: "null",
  };
}

/** Leases by key, as etcd has them. */
function etcd(keys: Readonly<Record<string, string>> = {}, network = "10.244.0.0/16") {
  const clock = new VirtualClock();
  const store = new LeaseStore(clock);
  for (const [key, publicIp] of Object.entries(keys)) {
    const lease = parseStoredLease(key, { PublicIP: publicIp, PublicIPv6: null });
    if (lease === undefined) throw new Error(key);
    store.put(lease);
  }
  const conf = parseNetConf({ Network: network, Backend: { Type: "host-gw" } });
  const manager = (previous?: string, seed = 1) =>
    new LocalSubnetManager(store, conf, {
      previous: { 4: tryParsePrefix(previous ?? ""), 6: undefined },
      renewMarginMinutes: 60,
      clock,
      random: new SeededRandom(seed),
    });
  return { clock, store, manager };
}

describe("a subnet is", () => {
  test.each([
    {
      what: "the one it had",
      keys: { "10.244.7.0-24": "10.0.0.1" },
      previous: undefined,
      subnet: "10.244.7.0/24",
    },
    {
      what: "the one it had, whatever the file says",
      keys: { "10.244.7.0-24": "10.0.0.1" },
      previous: "10.244.8.1/24",
      subnet: "10.244.7.0/24",
    },
    { what: "the one of the file", keys: {}, previous: "10.244.8.1/24", subnet: "10.244.8.0/24" },
    {
      what: "the only free one, as the file's is taken",
      keys: { "10.0.1.0-24": "10.0.0.9", "10.0.2.0-24": "10.0.0.8" },
      previous: "10.0.2.1/24",
      network: "10.0.0.0/22",
      subnet: "10.0.3.0/24",
    },
    {
      what: "the only free one, as the file's is of another length",
      keys: { "10.0.1.0-24": "10.0.0.9", "10.0.2.0-24": "10.0.0.8" },
      previous: "10.0.3.1/25",
      network: "10.0.0.0/22",
      subnet: "10.0.3.0/24",
    },
    {
      what: "a new one, as its own no longer fits",
      keys: { "172.16.1.0-24": "10.0.0.1", "10.0.1.0-24": "10.0.0.9", "10.0.2.0-24": "10.0.0.8" },
      previous: undefined,
      network: "10.0.0.0/22",
      subnet: "10.0.3.0/24",
    },
  ])("$what", ({ keys, previous, network, subnet }) => {
    const { store, manager } = etcd(keys, network);
    const lease = manager(previous).acquireLease(attributes("10.0.0.1"));
    expect(lease.subnet).toEqual(parsePrefix(subnet));
    expect(store.get(storeKey(lease))).toBe(lease);
    expect(
      [...store.leases].filter((l) => l.attributes.publicIp === parseIp("10.0.0.1")),
    ).toHaveLength(1);
  });

  test("one of the first hundred, by chance", () => {
    const third = new Set<number>();
    for (let seed = 1; seed <= 40; seed++) {
      const { manager } = etcd();
      const { subnet } = manager(undefined, seed).acquireLease(attributes("10.0.0.1"));
      third.add((((subnet?.address as number) ?? 0) >>> 8) & 255);
    }
    expect(third.size).toBeGreaterThan(10);
    expect(Math.min(...third)).toBeGreaterThanOrEqual(1);
    expect(Math.max(...third)).toBeLessThanOrEqual(100);
  });

  test("none where all are taken", () => {
    const keys = {
      "10.0.1.0-24": "10.0.0.7",
      "10.0.2.0-24": "10.0.0.8",
      "10.0.3.0-24": "10.0.0.9",
    };
    const { manager } = etcd(keys, "10.0.0.0/22");
    expect(() => manager().acquireLease(attributes("10.0.0.1"))).toThrow("out of subnets");
  });
});

test("a lease lives as long as it is renewed, and a day longer", () => {
  const { clock, store, manager } = etcd();
  const m = manager("10.244.5.1/24");
  const lease = m.acquireLease(attributes("10.0.0.1"));
  let revoked = 0;
  const stop = m.completeLease(lease, () => revoked++);
  clock.advance(100 * HOUR);
  expect(store.get("10.244.5.0-24")).toBe(lease);
  stop(); // last renewed after 92 hours
  clock.advance(15 * HOUR);
  expect(store.get("10.244.5.0-24")).toBe(lease);
  clock.advance(2 * HOUR);
  expect(store.get("10.244.5.0-24")).toBeUndefined();
  expect(revoked).toBe(0);
});

test("a lease that is taken away is told of", () => {
  const { store, manager } = etcd();
  const m = manager("10.244.5.1/24");
  let revoked = 0;
  m.completeLease(m.acquireLease(attributes("10.0.0.1")), () => revoked++);
  store.delete("10.244.5.0-24");
  expect(revoked).toBe(1);
});

test("watchers have all leases first, then each change", () => {
  const { store, manager } = etcd({ "10.244.7.0-24": "10.0.0.7" });
  const updates: LeaseUpdate[] = [];
  manager().watchLeases((update) => updates.push(update));
  store.delete("10.244.7.0-24");
  expect(
    updates.map(({ table, events }) => [[...table.leases.keys()], events?.removed.length]),
  ).toEqual([
    [["10.244.7.0/24"], undefined],
    [[], 1],
  ]);
});

test.each([
  { key: "/coreos.com/network/subnets/10.244.1.0-24", subnets: ["10.244.1.0/24", undefined] },
  { key: "10.244.1.0-24&2001:db8:42:1::-64", subnets: ["10.244.1.0/24", "2001:db8:42:1::/64"] },
  { key: "0.0.0.0-0&2001:db8:42:1::-64", subnets: [undefined, "2001:db8:42:1::/64"] },
  { key: "config", subnets: undefined },
  { key: "10.244.1.0-24&nonsense", subnets: undefined },
])("key $key", ({ key, subnets }) => {
  const value = {
    PublicIP: "10.0.0.1",
    PublicIPv6: "fd00::1",
    BackendType: "vxlan",
    BackendData: { VNI: 1 },
  };
  const lease = parseStoredLease(key, value);
  expect(lease && [lease.subnet?.toString(), lease.ipv6Subnet?.toString()]).toEqual(subnets);
  if (lease === undefined) return;
  expect(key.endsWith(storeKey(lease))).toBe(true);
  expect(leaseValue(lease.attributes)).toEqual(value);
});
