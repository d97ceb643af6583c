import { type KubeObject, objectKey, SeededRandom, VirtualClock } from "@cnilab/core";
import { Dummy, Kernel, type NetNamespace, Network } from "@cnilab/linux";
import { type IpFamily, parseIp } from "@cnilab/net";
import { expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { DEFAULT_CONFIG, type KubeProxyConfig } from "../config.ts";
import { Proxiers } from "../proxiers.ts";

const PORTS = [{ port: 8080, protocol: "TCP" }] as const;
const WEB = service("web", { clusterIP: "10.96.0.1", ports: [{ port: 80 }] });
const WEB6 = service("web6", { clusterIP: "fd00:96::1", ports: [{ port: 80 }] });
const DB = service("db", { clusterIP: "10.96.0.2", ports: [{ port: 80 }] });
const SLICE = slice("web", PORTS, ["10.244.1.10"]);
const SLICE_DB = slice("db", PORTS, ["10.244.1.20"]);

/** Nodes whose kube-proxies work together. */
class Nodes {
  readonly #network = new Network(new VirtualClock(), new SeededRandom(1));
  readonly #proxiers: Proxiers;

  constructor(settings: Partial<KubeProxyConfig> = {}, serviceCidrs: readonly string[] = []) {
    this.#proxiers = new Proxiers(
      { ...DEFAULT_CONFIG, ...settings, mode: "nftables" },
      serviceCidrs,
    );
  }

  /** A node whose addresses are on eth0, and the sync of both families. */
  add(name: string, ...addresses: string[]) {
    const { initNs } = new Kernel(this.#network, name);
    initNs.loopback.setUp();
    const eth0 = new Dummy(initNs, { name: "eth0" });
    eth0.setUp();
    for (const address of addresses) eth0.addAddress(parseIp(address), 24);
    const families = this.#proxiers.of({
      netns: initNs,
      topology: { name, zone: "" },
      addresses: addresses.map(parseIp),
      podCidrs: () => [],
    });
    const sync = (objects: readonly KubeObject[], now: number) => {
      const of = (kind: string) => ({
        version: now,
        objects: new Map(objects.filter((o) => o.kind === kind).map((o) => [objectKey(o), o])),
      });
      for (const { states, proxier } of families) {
        proxier.sync(states.of(of("Service") as never, of("EndpointSlice") as never), now);
      }
    };
    return { netns: initNs, sync };
  }
}

/** Elements of a set, or undefined where there is none of that name. */
function elements(netns: NetNamespace, family: IpFamily, set: string): unknown {
  const { nftables } = netns.nftables.json() as { nftables: Record<string, unknown>[] };
  const name = family === 4 ? "ip" : "ip6";
  for (const object of nftables) {
    const found = object["set"] as { family: string; name: string; elem?: unknown } | undefined;
    if (found?.family === name && found.name === set) return found.elem ?? [];
  }
  return undefined;
}

test.each<[string, readonly string[], IpFamily, readonly string[] | undefined]>([
  ["the primary address", [], 4, ["192.168.0.11"]],
  ["the primary address, by name", ["primary"], 4, ["192.168.0.11"]],
  ["the addresses in a range", ["10.0.0.0/8"], 4, ["10.0.0.11"]],
  ["no loopback address", ["10.0.0.0/8", "127.0.0.0/8"], 4, ["10.0.0.11"]],
  ["all addresses", ["0.0.0.0/0"], 4, undefined],
  ["all addresses of a family that is not named", ["10.0.0.0/8"], 6, undefined],
])("node ports answer on %s", (_, nodePortAddresses, family, expected) => {
  const node = new Nodes({ nodePortAddresses }).add("n1", "192.168.0.11", "10.0.0.11", "fd00::11");
  node.sync([], 0);
  expect(elements(node.netns, family, "nodeport-ips")).toEqual(expected);
});

test("each node has node ports on its own address", () => {
  const nodes = new Nodes();
  const [one, other] = [nodes.add("n1", "192.168.0.11"), nodes.add("n2", "192.168.0.12")];
  for (const objects of [[WEB], [WEB, SLICE]]) {
    for (const node of [one, other]) node.sync(objects, 0);
  }
  expect(elements(one.netns, 4, "nodeport-ips")).toEqual(["192.168.0.11"]);
  expect(elements(other.netns, 4, "nodeport-ips")).toEqual(["192.168.0.12"]);
});

test.each([
  ["a sync within a second leaves stale chains", 999, true],
  ["one after a second deletes them", 1000, false],
])("%s", (_, later, stays) => {
  const { netns, sync } = new Nodes().add("n1", "192.168.0.11");
  sync([WEB, SLICE, DB], 0);
  sync([DB], 5000);
  sync([DB, SLICE_DB], 5000 + later);
  expect(netns.nftables.list().includes("default/web/tcp")).toBe(stays);
});

test("stale chains stay while nothing changes in their family", () => {
  const { netns, sync } = new Nodes().add("n1", "192.168.0.11");
  sync([WEB, SLICE], 0);
  sync([WEB], 5000);
  sync([WEB, WEB6], 10_000);
  expect(netns.nftables.list()).toContain("chain service-");
});

test("a table that somebody deleted is written again", () => {
  const { netns, sync } = new Nodes().add("n1", "192.168.0.11");
  sync([WEB, SLICE], 0);
  const written = netns.nftables.list();
  netns.nftables.apply("delete table ip kube-proxy\ndelete table ip6 kube-proxy");
  sync([WEB, SLICE], 1000);
  expect(netns.nftables.list()).toBe(written);
});

test("addresses of the Service range that no Service has are dropped, in each family", () => {
  const { netns, sync } = new Nodes({}, ["10.96.0.0/12", "fd00:96::/112"]).add(
    "n1",
    "192.168.0.11",
  );
  sync([], 0);
  const listing = netns.nftables.list();
  const comment = 'comment "Drop traffic to unallocated ClusterIPs"';
  expect(listing).toContain(`ip daddr 10.96.0.0/12 drop ${comment}`);
  expect(listing).toContain(`ip6 daddr fd00:96::/112 drop ${comment}`);
});
