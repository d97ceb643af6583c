import { formatIp } from "@cnilab/net";
import { WindowsMachine } from "@cnilab/windows";
import { describe, expect, test } from "vitest";
import { TestCluster } from "./test-cluster.ts";

const F = "flannel.alpha.coreos.com";
const HOST_GW = { Type: "host-gw" };
const VXLAN = { Type: "vxlan", VNI: 4096, Port: 4789 };
const DATA = /^\{"VNI":4096,"VtepMAC":"(00:15:5d(?::[0-9a-f]{2}){3})"\}$/;

/** Node 1 runs Linux, node 2 Windows. */
function mixed(backend: object): {
  readonly cluster: TestCluster;
  readonly machine: WindowsMachine;
} {
  const cluster = new TestCluster({ backend, windows: [2], options: { ipMasq: false } });
  const { kernel } = cluster.node(2);
  if (!(kernel instanceof WindowsMachine)) throw new Error("node 2 does not run Windows");
  return { cluster, machine: kernel };
}

/** Routes of the host that flanneld or HNS made. */
function routes({ initNs }: WindowsMachine): string[] {
  return [...initNs.fib4.main.routes()]
    .filter((r) => r.protocol !== "kernel" && r.prefix.length > 0)
    .map((r) => {
      const gateway = r.nexthop.gateway === undefined ? "link" : formatIp(r.nexthop.gateway);
      return `${r.prefix} ${gateway} ${r.nexthop.dev?.name}`;
    });
}

function remoteSubnets({ hns }: WindowsMachine): string[] {
  return hns
    .listNetworks()
    .flatMap(({ Policies }) =>
      Policies.flatMap((p) =>
        p.Type === "RemoteSubnetRoute"
          ? [`${p.Settings.DestinationPrefix} at ${p.Settings.ProviderAddress}`]
          : [],
      ),
    );
}

describe("host-gw", () => {
  test("makes an l2bridge, the pods' gateway in the host, and routes to the others", () => {
    const { cluster, machine } = mixed(HOST_GW);
    const { hns, initNs, files } = machine;
    expect(hns.listNetworks()).toMatchObject([{ Name: "cbr0", Type: "L2Bridge" }]);
    expect(hns.listEndpoints()).toMatchObject([
      { Name: "cbr0_ep", IpConfigurations: [{ IpAddress: "10.244.2.2" }] },
    ]);
    expect(initNs.device("cbr0_ep").addresses4.map((a) => formatIp(a.address))).toEqual([
      "10.244.2.2",
    ]);
    expect(initNs.sysctl.get("net/ipv4/ip_forward")).toBe(1);
    expect(routes(machine)).toEqual(["10.244.1.0/24 192.168.0.11 vEthernet"]);
    expect(cluster.api.node("node2").metadata.annotations).toEqual({
      [`${F}/kube-subnet-manager`]: "true",
      [`${F}/backend-type`]: "host-gw",
      [`${F}/backend-data`]: "null",
      [`${F}/public-ip`]: "192.168.0.12",
    });
    expect(files.read("/run/flannel/subnet.env")).toBe(
      "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.2.1/24\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n",
    );
    expect(initNs.findIptables(4)).toBeUndefined();
  });

  test("started again, it keeps the network and follows the leases", () => {
    const { cluster, machine } = mixed(HOST_GW);
    const [network] = machine.hns.listNetworks();
    cluster.node(2).flanneld.stop();
    cluster.node(2).flanneld.start();
    cluster.addNode(3).flanneld.start();
    cluster.clock.settle();
    expect(machine.hns.listNetworks()).toEqual([network]);
    expect(routes(machine)).toEqual([
      "10.244.1.0/24 192.168.0.11 vEthernet",
      "10.244.3.0/24 192.168.0.13 vEthernet",
    ]);
  });
});

describe("vxlan", () => {
  test("makes an overlay with a remote subnet for each other node, and tells of its router", () => {
    const { cluster, machine } = mixed(VXLAN);
    expect(machine.hns.listNetworks()).toMatchObject([{ Name: "flannel.4096", Type: "Overlay" }]);
    expect(remoteSubnets(machine)).toEqual(["10.244.1.0/24 at 192.168.0.11"]);
    expect(routes(machine)).toEqual(["10.244.2.0/24 link vEthernet"]);
    const data = cluster.api.node("node2").metadata.annotations?.[`${F}/backend-data`];
    expect(data).toMatch(DATA);
    const linux = cluster.node(1).kernel.initNs;
    const neighbours = [...(linux.device("flannel.4096").neighbours?.entries() ?? [])];
    expect(neighbours.map((n) => formatIp(n.ip))).toEqual(["10.244.2.0"]);
  });

  test("follows leases: new ones, a changed MAC, and what Windows cannot use", () => {
    const { cluster, machine } = mixed(VXLAN);
    const rules = () => machine.hns.vswitch?.overlay?.encap.rules.map((r) => r.text.split(": ")[1]);
    cluster.annotate(1, { [`${F}/backend-data`]: '{"VNI":4096,"VtepMAC":"02:00:00:00:00:99"}' });
    expect(rules()).toEqual(["encap VXLAN VNI 4096 to 192.168.0.11, MAC 02:00:00:00:00:99"]);
    cluster.annotate(1, { [`${F}/backend-data`]: '{"VNI":1,"VtepMAC":"02:00:00:00:00:98"}' });
    expect(cluster.node(2).flanneld.log.at(-1)).toBe(
      "VNI is 1 but it is required to be greater than or equal to 4096 on Windows.",
    );
    expect(rules()).toEqual(["encap VXLAN VNI 4096 to 192.168.0.11, MAC 02:00:00:00:00:99"]);
    cluster.annotate(1, { [`${F}/backend-type`]: "host-gw" });
    expect(cluster.node(2).flanneld.log.at(-1)).toBe(
      "ignoring non-vxlan subnet(10.244.1.0/24): type=host-gw",
    );
  });

  test("forgets a node that is deleted", () => {
    const { cluster, machine } = mixed(VXLAN);
    cluster.api.remove("node1");
    cluster.clock.settle();
    expect(remoteSubnets(machine)).toEqual([]);
  });
});

test.each([
  [
    { Type: "vxlan" },
    "invalid VXLAN backend config. VNI [1] must be greater than or equal to 4096 on Windows",
  ],
  [
    { ...VXLAN, Port: 8472 },
    "invalid VXLAN backend config. Port [8472], other than 4789, is not supported on Windows",
  ],
  [
    { ...VXLAN, DirectRouting: true },
    "invalid VXLAN backend config. DirectRouting is not supported on Windows",
  ],
  [{ ...VXLAN, GBP: true }, "invalid VXLAN backend config. GBP is not supported on Windows"],
  [{ Type: "udp" }, "Error fetching backend: udp is not there on Windows; take host-gw or vxlan"],
])("%j does not start on Windows", (backend, message) => {
  const { cluster, machine } = mixed(backend);
  expect(cluster.node(2).flanneld.problem).toBe(message);
  expect(cluster.node(1).flanneld.problem).toBeUndefined();
  expect(machine.hns.listNetworks()).toEqual([]);
});
