import { type Kernel, Nic, Vxlan } from "@cnilab/linux";
import { formatMac, parseIp, parsePrefix } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import type { FlanneldOptions } from "../src/index.ts";
import { TestCluster } from "./test-cluster.ts";

const vxlan = { Type: "vxlan" };

/** A node that something is done to before its flanneld starts, among others that run. */
function startedAfter(
  prepare: (kernel: Kernel, cluster: TestCluster) => void,
  backend: object = vxlan,
  options: Partial<FlanneldOptions> = {},
  nftables = false,
) {
  const cluster = new TestCluster({ backend, nodes: 1, options, nftables });
  const { kernel, flanneld } = cluster.addNode(2);
  prepare(kernel, cluster);
  const ready: boolean[] = [];
  flanneld.ready.subscribe((now) => ready.push(now));
  flanneld.start();
  return { cluster, kernel, flanneld, ready };
}

function setPodCidr(cluster: TestCluster, cidr: string | undefined): void {
  const spec = cidr === undefined ? {} : { podCIDR: cidr, podCIDRs: [cidr] };
  cluster.api.update("Node", "node2", (node) => ({ ...node, spec }));
}

function withoutDefaultRoute({ initNs }: Kernel): void {
  initNs.deleteRoute({ dst: parsePrefix("0.0.0.0/0") });
}

describe("flanneld gives up, and is started again, where", () => {
  test.each<{
    what: string;
    prepare: (k: Kernel, c: TestCluster) => void;
    backend?: object;
    options?: Partial<FlanneldOptions>;
    says: string;
  }>([
    {
      what: "it has no pod range",
      prepare: (_k, c) => setPodCidr(c, undefined),
      says: 'node "node2" pod cidr not assigned',
    },
    {
      what: "its range is not in the network",
      prepare: (_k, c) => setPodCidr(c, "172.16.0.0/24"),
      says: 'doesn\'t contain "172.16.0.0/24" PodCIDR',
    },
    {
      what: "its Node is not there",
      prepare: (_k, c) => c.api.remove("node2"),
      says: 'node "node2" does not exist',
    },
    {
      what: "br_netfilter is not loaded",
      prepare: (k) => {
        k.brNetfilter = false;
      },
      says: "Failed to check br_netfilter",
    },
    {
      what: "there is no default route",
      prepare: withoutDefaultRoute,
      says: "failed to get default interface: unable to find default route",
    },
    {
      what: "no interface fits",
      prepare: () => {},
      options: { iface: ["eth7"], ifaceRegex: ["^wlan"] },
      says: "Failed to find interface to use",
    },
    {
      what: "host-gw is told of a NAT",
      prepare: () => {},
      backend: { Type: "host-gw" },
      options: { iface: ["eth0"], publicIp: parseIp("203.0.113.1") },
      says: "your PublicIP differs from interface IP",
    },
    {
      what: "a device of the user's own has ipip's name",
      prepare: ({ initNs }, c) => new Nic(initNs, { name: "flannel.ipip", segment: c.segment }),
      backend: { Type: "ipip" },
      says: "flannel.ipip isn't an ipip mode device",
    },
    {
      what: "another device has the VNI",
      prepare: ({ initNs }) =>
        new Vxlan(initNs, { name: "vxlan7", vni: 1, local: parseIp("192.168.0.12") }).setUp(),
      says: "failed to create vxlan device: a vxlan device with VNI 1 and port 8472: EEXIST",
    },
  ])("$what", ({ prepare, backend, options, says }) => {
    const { cluster, flanneld, ready } = startedAfter(prepare, backend, options);
    // Nobody waits for what fails again and again, but it is tried.
    expect(cluster.clock.settle()).toBe(true);
    expect(flanneld.log[0]).toContain(says);
    expect(flanneld.log).toHaveLength(5);
    cluster.clock.advance(300_000);
    expect(flanneld.log.length).toBeGreaterThan(5);
    expect(ready).toEqual([false]);
    expect(flanneld.mtu).toBe(0);
  });

  test("and goes on once it has what it lacked", () => {
    const { cluster, flanneld, ready } = startedAfter((_k, c) => setPodCidr(c, undefined));
    cluster.clock.advance(5_000);
    setPodCidr(cluster, "10.244.2.0/24");
    cluster.clock.advance(6_000);
    expect(ready).toEqual([false, true]);
    expect(flanneld.mtu).toBe(1450);
  });
});

test("nftables needs no br_netfilter", () => {
  const { ready } = startedAfter(
    (k) => {
      k.brNetfilter = false;
    },
    vxlan,
    {},
    true,
  );
  expect(ready).toEqual([false, true]);
});

describe("the interface", () => {
  /** A second interface, of another network. */
  function withEth1({ initNs }: Kernel, cluster: TestCluster): void {
    const eth1 = new Nic(initNs, { name: "eth1", segment: cluster.segment, mtu: 9000 });
    eth1.setUp();
    eth1.addAddress(parseIp("172.16.0.12"), 24);
  }

  test.each<{ options: Partial<FlanneldOptions>; dev: string; told: string }>([
    { options: {}, dev: "eth0", told: "192.168.0.12" },
    { options: { iface: ["eth1"] }, dev: "eth1", told: "172.16.0.12" },
    { options: { iface: ["172.16.0.12"] }, dev: "eth1", told: "172.16.0.12" },
    { options: { iface: ["eth9", "eth1"] }, dev: "eth1", told: "172.16.0.12" },
    // lo has no address to tell
    { options: { iface: ["lo"], ifaceRegex: ["^172\\."] }, dev: "eth1", told: "172.16.0.12" },
    { options: { ifaceRegex: ["th1$"] }, dev: "eth1", told: "172.16.0.12" },
    { options: { ifaceCanReach: parseIp("172.16.0.99") }, dev: "eth1", told: "172.16.0.12" },
    { options: { ifaceCanReach: parseIp("8.8.8.8") }, dev: "eth0", told: "192.168.0.12" },
    {
      options: { iface: ["eth0"], publicIp: parseIp("203.0.113.1") },
      dev: "eth0",
      told: "203.0.113.1",
    },
    { options: { publicIp: parseIp("172.16.0.12") }, dev: "eth1", told: "172.16.0.12" },
  ])("of $options", ({ options, dev, told }) => {
    const cluster = new TestCluster({ backend: vxlan, nodes: 0, options });
    const { kernel, flanneld } = cluster.addNode(2);
    withEth1(kernel, cluster);
    flanneld.start();
    expect(flanneld.log).toEqual([]);
    const tunnel = kernel.initNs.device("flannel.1") as Vxlan;
    expect(tunnel.link?.name).toBe(dev);
    const { annotations = {} } = cluster.api.node("node2").metadata;
    expect(annotations["flannel.alpha.coreos.com/public-ip"]).toBe(told);
  });

  test("a node's annotation names the address", () => {
    const { cluster } = startedAfter(
      (_k, c) => {
        c.annotate(2, { "flannel.alpha.coreos.com/node-public-ip": "203.0.113.1" });
      },
      vxlan,
      { iface: ["eth0"] },
    );
    const { annotations = {} } = cluster.api.node("node2").metadata;
    expect(annotations["flannel.alpha.coreos.com/public-ip"]).toBe("203.0.113.1");
  });
});

describe("a vxlan device that is there", () => {
  const kept = { vni: 1, local: "192.168.0.12", port: 8472, mac: "aa:00:00:00:00:01" };
  test.each([
    { what: "is kept", device: kept, keeps: true },
    { what: "is kept with another MTU", device: { ...kept, mtu: 1200 }, keeps: true },
    {
      what: "is kept whatever its port, where none is asked for",
      device: { ...kept, port: 4789 },
      keeps: true,
    },
    { what: "gives way for its address", device: { ...kept, local: "10.9.9.9" }, keeps: false },
    { what: "gives way for its VNI", device: { ...kept, vni: 9 }, keeps: false },
    { what: "gives way for its extension", device: { ...kept, groupPolicy: true }, keeps: false },
    {
      what: "gives way for its port, where one is asked for",
      device: { ...kept, port: 4789 },
      backend: { ...vxlan, Port: 8472 },
      keeps: false,
    },
  ])("$what", ({ device, keeps, backend }) => {
    const { kernel } = startedAfter(({ initNs }) => {
      new Vxlan(initNs, {
        ...device,
        name: "flannel.1",
        link: initNs.device("eth0"),
        mac: 0xaa0000000001,
        local: parseIp(device.local),
      });
    }, backend);
    const mac = formatMac(kernel.initNs.device("flannel.1").mac);
    expect(mac === device.mac).toBe(keeps);
    expect(kernel.initNs.device("flannel.1").up).toBe(true);
  });

  test("loses the other addresses that it has in the network", () => {
    const { cluster, kernel, flanneld } = startedAfter(() => {});
    const tunnel = kernel.initNs.device("flannel.1");
    tunnel.addAddress(parseIp("10.244.99.0"), 32);
    tunnel.addAddress(parseIp("172.16.0.1"), 32);
    flanneld.stop();
    flanneld.start();
    cluster.clock.settle();
    expect(tunnel.addressesOf(4).map((a) => a.address)).toEqual([
      parseIp("10.244.2.0"),
      parseIp("172.16.0.1"),
    ]);
  });
});
