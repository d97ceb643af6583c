import { CniError, type NetworkPluginConfig, SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, Network, Nic, Segment } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { type HcnNetworkType, WindowsMachine } from "@cnilab/windows";
import { describe, expect, test } from "vitest";
import { PLUGINS } from "../plugins.ts";
import { CniRuntime } from "../runtime.ts";

const SUBNET = "10.244.1.0/24";
const IPAM = { type: "host-local", subnet: SUBNET };

/** A Windows node with a network of HNS named `pods`, and a runtime that runs one plugin on it. */
class WindowsNode {
  readonly machine: WindowsMachine;
  readonly runtime: CniRuntime;

  constructor(type: HcnNetworkType) {
    const network = new Network(new VirtualClock(), new SeededRandom(1));
    this.machine = new WindowsMachine(network, "win1");
    const { initNs, hns } = this.machine;
    const card = new Nic(initNs, { name: "Ethernet", segment: new Segment(network, "lan") });
    card.setUp();
    card.addAddress(parseIp("192.168.0.12"), 16);
    const Policies = [{ Type: "VSID", Settings: { IsolationId: 4096 } }] as const;
    const Routes = [{ NextHop: "10.244.1.1", DestinationPrefix: "0.0.0.0/0" }];
    hns.createNetwork({
      Name: "pods",
      Type: type,
      Ipams: [{ Type: "Static", Subnets: [{ IpAddressPrefix: SUBNET, Routes, Policies }] }],
    });
    this.runtime = new CniRuntime({ host: this.machine, plugins: PLUGINS });
  }

  add(plugin: NetworkPluginConfig, name = "pods") {
    const netns = this.machine.addNamespace("pod1");
    return this.runtime.addNetworkList(list(plugin, name), { ...CONF, netns: netns.path });
  }

  del(plugin: NetworkPluginConfig): void {
    this.runtime.delNetworkList(list(plugin, "pods"), { ...CONF, netns: "" });
  }

  /** Policies of its one endpoint, as `Type {settings}`. */
  get policies(): string[] {
    const [endpoint] = this.machine.hns.listEndpoints();
    return (endpoint?.Policies ?? []).map((p) => `${p.Type} ${JSON.stringify(p.Settings)}`);
  }
}

const CONF = {
  containerId: "c1",
  ifName: "eth0",
  capabilityArgs: {
    portMappings: [
      { hostPort: 8080, containerPort: 80, protocol: "tcp" },
      { hostPort: 9000, containerPort: 90, protocol: "sctp" },
    ],
  },
};

function list(plugin: NetworkPluginConfig, name: string) {
  return { cniVersion: "0.3.1", name, plugins: [plugin] };
}

function failing(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof CniError) return error.message;
    throw error;
  }
  return "nothing";
}

const bridge = (more: object = {}): NetworkPluginConfig => ({
  type: "win-bridge",
  ipam: IPAM,
  ...more,
});
const overlay = (more: object = {}): NetworkPluginConfig => ({
  type: "win-overlay",
  ipam: IPAM,
  ...more,
});
const policy = (value: object) => ({ policies: [{ name: "EndpointPolicy", value }] });

describe("win-bridge", () => {
  test("gives an endpoint with the node's own for its gateway, and takes it back", () => {
    const node = new WindowsNode("L2Bridge");
    const result = node.add(bridge());
    expect(result.ips).toEqual([{ version: "4", address: "10.244.1.2/24", gateway: "10.244.1.2" }]);
    expect(result.interfaces).toEqual([
      { name: "c1_pods", mac: expect.stringMatching(/^00:15:5d:/) },
    ]);
    const pod = node.machine.findNamespace("pod1");
    expect(pod?.device("eth0").addresses4.length).toBe(1);
    node.del(bridge());
    expect(node.machine.hns.listEndpoints()).toEqual([]);
    expect(pod?.findDevice("eth0")).toBeUndefined();
    node.del(bridge());
  });

  test.each<[string, object, string[]]>([
    ["without wishes", {}, []],
    [
      "masquerading",
      { ipMasqNetwork: "10.244.0.0/16" },
      ['OutBoundNAT {"Exceptions":["10.244.0.0/16"]}'],
    ],
    [
      "masquerading, with the exception there",
      {
        ipMasqNetwork: "10.244.0.0/16",
        ...policy({
          Type: "OutBoundNAT",
          Settings: { Exceptions: ["10.244.0.0/16", "10.96.0.0/12"] },
        }),
      },
      ['OutBoundNAT {"Exceptions":["10.244.0.0/16","10.96.0.0/12"]}'],
    ],
    ["loopback DSR", { loopbackDSR: true }, ['OutBoundNAT {"Destinations":["10.244.1.2"]}']],
    [
      "port mappings, but for protocols that HNS has not",
      { capabilities: { portMappings: true } },
      ['PortMapping {"InternalPort":80,"ExternalPort":8080,"Protocol":6,"VIP":""}'],
    ],
    ["policies of another kind", { policies: [{ name: "Other", value: {} }] }, []],
  ])("%s", (_what, more, expected) => {
    const node = new WindowsNode("L2Bridge");
    node.add(bridge(more));
    expect(node.policies).toEqual(expected);
  });
});

describe("win-overlay", () => {
  test("makes the MAC of the address, and takes the network's gateway", () => {
    const node = new WindowsNode("Overlay");
    const { ips, interfaces } = node.add(overlay());
    expect(ips?.[0]).toMatchObject({ address: "10.244.1.2/24", gateway: "10.244.1.1" });
    expect(interfaces?.[0]?.mac).toBe("0e:2a:0a:f4:01:02");
    expect(node.policies).toEqual(['ProviderAddress {"ProviderAddress":"192.168.0.12"}']);
    expect(node.machine.findNamespace("pod1")?.device("eth0").mtu).toBe(1450);
  });

  test("masquerades what leaves the node's own range", () => {
    const node = new WindowsNode("Overlay");
    node.add(overlay({ ipMasq: true, endpointMacPrefix: "02-42" }));
    expect(node.policies[0]).toBe('OutBoundNAT {"Exceptions":["10.244.1.0/24"]}');
    expect(node.machine.hns.listEndpoints()[0]?.MacAddress).toBe("02-42-0A-F4-01-02");
  });
});

test.each<[string, HcnNetworkType, NetworkPluginConfig, string, string]>([
  ["no network", "L2Bridge", bridge(), "other", 'Network name "other" not found'],
  ["an overlay", "Overlay", bridge(), "pods", "network pods is of unexpected type: Overlay"],
  ["an l2bridge", "L2Bridge", overlay(), "pods", "network pods is of unexpected type: L2Bridge"],
  [
    "policies that are none",
    "L2Bridge",
    bridge(policy({ Type: "OutBoundNAT", Settings: { Exceptions: ["everything"] } })),
    "pods",
    'error while adding HostComputeEndpoint: "everything" is no address and no prefix',
  ],
  [
    "a MAC prefix that is none",
    "Overlay",
    overlay({ endpointMacPrefix: "02:42" }),
    "pods",
    "endpointMacPrefix [02:42] is invalid, value must be of the format xx-xx",
  ],
])("refuses %s", (_what, type, plugin, name, message) => {
  expect(failing(() => new WindowsNode(type).add(plugin, name))).toContain(message);
});

test("gives the address back where HNS refuses it", () => {
  const node = new WindowsNode("L2Bridge");
  const { hns } = node.machine;
  const [network] = hns.listNetworks();
  hns.createEndpoint(network?.ID ?? "", { IpConfigurations: [{ IpAddress: "10.244.1.2" }] });
  expect(failing(() => node.add(bridge()))).toContain("another endpoint has 10.244.1.2");
  expect(node.machine.files.list("/var/lib/cni/networks/pods")).toEqual([
    "last_reserved_ip.0",
    "lock",
  ]);
});

test("plugins for the other system say so", () => {
  const node = new WindowsNode("L2Bridge");
  expect(failing(() => node.add({ type: "bridge", ipam: IPAM }))).toContain("runs on Linux");
  const linux = new Kernel(new Network(new VirtualClock(), new SeededRandom(1)), "lin1");
  const runtime = new CniRuntime({ host: linux, plugins: PLUGINS });
  const netns = linux.addNamespace("pod1").path;
  const call = () => runtime.addNetworkList(list(bridge(), "pods"), { ...CONF, netns });
  expect(failing(call)).toContain("plugin win-bridge runs on Windows, lin1 does not");
});
