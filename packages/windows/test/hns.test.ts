import { formatIp, IPPROTO_SCTP, IPPROTO_TCP, parseIp } from "@cnilab/net";
import { describe, expect, test } from "vitest";
import { HcnError, type HcnLoadBalancerSettings, LoadBalancerFlagsIPv6 } from "../src/index.ts";
import { ask, NODE, told, WindowsLab } from "./windows-lab.ts";

function failing(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof HcnError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return "nothing";
}

const mapping = (port: number, Protocol = IPPROTO_TCP) => ({
  Protocol,
  InternalPort: 80,
  ExternalPort: port,
  DistributionType: 0,
  Flags: 0,
});

const balancer = (more: Partial<HcnLoadBalancerSettings>): HcnLoadBalancerSettings => ({
  HostComputeEndpoints: [],
  SourceVIP: "",
  FrontendVIPs: ["10.96.0.10"],
  PortMappings: [mapping(80)],
  Flags: 0,
  ...more,
});

describe("networks", () => {
  test("take the card's addresses and routes to the host's vNIC, and give them back in the end", () => {
    const { machine, networkId } = new WindowsLab("Overlay");
    const { hns, initNs } = machine;
    const where = () =>
      initNs.devices
        .filter((dev) => dev.addresses4.some((a) => formatIp(a.address) === NODE))
        .map((dev) => dev.name);
    const mac = hns.vswitch?.external.mac;
    expect([where(), hns.vswitch?.management.mac]).toEqual([["vEthernet"], mac]);
    hns.deleteNetwork(networkId);
    expect([where(), hns.vswitch]).toEqual([["Ethernet"], undefined]);
    expect(initNs.findDevice("vEthernet")).toBeUndefined();
  });

  test("go with their endpoints", () => {
    const lab = new WindowsLab("L2Bridge");
    const pod = lab.pod("10.244.1.5");
    lab.machine.hns.deleteNetwork(lab.networkId);
    expect(lab.machine.hns.listEndpoints()).toEqual([]);
    expect(pod.netns.findDevice("eth0")).toBeUndefined();
  });

  test("that cannot be made leave the card alone", () => {
    const { machine, networkId } = new WindowsLab("Overlay");
    machine.hns.deleteNetwork(networkId);
    const settings = { Name: "bad", Type: "Overlay", Ipams: [] } as const;
    expect(failing(() => machine.hns.createNetwork(settings))).toBe(
      "INVALID_NETWORK: an overlay needs a subnet, a VSID and an IPv4 card",
    );
    expect(machine.hns.vswitch).toBeUndefined();
    expect(machine.initNs.deviceWithAddress(parseIp(NODE))?.name).toBe("Ethernet");
  });

  test("a remote subnet is replaced by one with its prefix, and taken away by it", () => {
    const { machine, networkId } = new WindowsLab("Overlay");
    const { hns } = machine;
    const remote = (ProviderAddress: string) => ({
      Type: "RemoteSubnetRoute" as const,
      Settings: {
        DestinationPrefix: "10.244.2.0/24",
        IsolationId: 4096,
        ProviderAddress,
        DistributedRouterMacAddress: "02:00:00:00:00:02",
      },
    });
    const rules = () => hns.vswitch?.overlay?.encap.rules.map(({ name }) => name);
    hns.addNetworkPolicy(networkId, remote("192.168.0.13"));
    hns.addNetworkPolicy(networkId, remote("192.168.0.14"));
    expect(rules()).toEqual(["ENCAP_10.244.2.0/24_192.168.0.14"]);
    hns.removeNetworkPolicy(networkId, remote("192.168.0.14"));
    expect(rules()).toEqual([]);
  });
});

describe("refusals", () => {
  const lab = new WindowsLab("L2Bridge");
  const { hns } = lab.machine;
  const pod = lab.pod("10.244.1.5");
  hns.createLoadBalancer(balancer({}));
  const at = (IpAddress: string, Flags = 0) => ({ IpConfigurations: [{ IpAddress }], Flags });

  test.each<[string, () => unknown, string]>([
    [
      "an unknown network",
      () => hns.createEndpoint("x", at("10.244.1.9")),
      "NETWORK_NOT_FOUND: there is no network x",
    ],
    [
      "a network's name twice",
      () => hns.createNetwork({ Name: "pods", Type: "L2Bridge", Ipams: [] }),
      "NETWORK_ALREADY_EXISTS: there is a network pods",
    ],
    [
      "an address twice",
      () => hns.createEndpoint(lab.networkId, at("10.244.1.5")),
      "ADDR_INVALID_OR_RESERVED: another endpoint has 10.244.1.5",
    ],
    [
      "an address from elsewhere",
      () => hns.createEndpoint(lab.networkId, at("10.0.0.1")),
      "ADDR_INVALID_OR_RESERVED: 10.0.0.1 is in no subnet of network pods",
    ],
    [
      "what is no address",
      () => hns.createEndpoint(lab.networkId, at("here")),
      'ADDR_INVALID_OR_RESERVED: "here" is no address',
    ],
    [
      "an endpoint attached twice",
      () => hns.hostAttach(pod.endpoint.ID),
      `ENDPOINT_ALREADY_ATTACHED: endpoint ${pod.endpoint.ID} is attached, or elsewhere`,
    ],
    [
      "a frontend twice",
      () => hns.createLoadBalancer(balancer({})),
      `PORT_ALREADY_EXISTS: load balancer ${hns.listLoadBalancers()[0]?.ID} answers to 10.96.0.10:80/6`,
    ],
    [
      "a protocol that it has not",
      () => hns.createLoadBalancer(balancer({ PortMappings: [mapping(81, IPPROTO_SCTP)] })),
      "INVALID_POLICY: no load balancing of IP protocol 132",
    ],
    [
      "an unknown endpoint",
      () =>
        hns.createLoadBalancer(
          balancer({ HostComputeEndpoints: ["y"], PortMappings: [mapping(82)] }),
        ),
      "ENDPOINT_NOT_FOUND: there is no endpoint y",
    ],
    [
      "a family that the node has not",
      () =>
        hns.createLoadBalancer(
          balancer({ FrontendVIPs: ["fd00::1"], Flags: LoadBalancerFlagsIPv6 }),
        ),
      "INVALID_POLICY: the node has no IPv6 address",
    ],
    [
      "remote subnets of an l2bridge",
      () =>
        hns.addNetworkPolicy(lab.networkId, {
          Type: "RemoteSubnetRoute",
          Settings: {
            DestinationPrefix: "10.244.2.0/24",
            IsolationId: 4096,
            ProviderAddress: "192.168.0.13",
            DistributedRouterMacAddress: "02:00:00:00:00:02",
          },
        }),
      "INVALID_POLICY: only an overlay has remote subnets",
    ],
  ])("%s", (_what, call, expected) => {
    const before = JSON.stringify([
      hns.listEndpoints(),
      hns.listLoadBalancers(),
      hns.listNetworks(),
    ]);
    expect(failing(call)).toBe(expected);
    const after = JSON.stringify([
      hns.listEndpoints(),
      hns.listLoadBalancers(),
      hns.listNetworks(),
    ]);
    expect(after).toBe(before);
  });

  test("another endpoint of the same address may be on another node", () => {
    expect(hns.createEndpoint(lab.networkId, at("10.244.1.5", 1)).Flags).toBe(1);
  });
});

test("an address and a frontend are free again when their object is gone", () => {
  const lab = new WindowsLab("L2Bridge");
  const { hns } = lab.machine;
  const { ID } = hns.createLoadBalancer(balancer({}));
  hns.updateLoadBalancer(ID, balancer({ FrontendVIPs: ["10.96.0.11"] }));
  const again = hns.createLoadBalancer(balancer({}));
  hns.deleteLoadBalancer(again.ID);
  expect(hns.createLoadBalancer(balancer({})).FrontendVIPs).toEqual(["10.96.0.10"]);
  hns.deleteEndpoint(lab.pod("10.244.1.5").endpoint.ID);
  expect(lab.pod("10.244.1.5").endpoint.IpConfigurations[0]?.IpAddress).toBe("10.244.1.5");
});

test("a machine that is taken off the network leaves it whole", () => {
  const lab = new WindowsLab("Overlay");
  lab.pod("10.244.1.5");
  const [near, far] = [lab.linux("near", "192.168.0.20"), lab.linux("far", "192.168.0.21")];
  lab.machine.remove();
  expect(told(ask(near, "192.168.0.21"))).toBe("far as 192.168.0.20");
  expect(ask(far, NODE).outcome).not.toBe("connected");
  expect(lab.segment.nics.size).toBe(2);
});
