import { SeededRandom, VirtualClock } from "@cnilab/core";
import { exchange, Network, Nic, Segment, startEchoServer } from "@cnilab/linux";
import { IPPROTO_TCP, parseIp } from "@cnilab/net";
import { LoadBalancerFlagsDSR, WindowsMachine } from "@cnilab/windows";
import { expect, test } from "vitest";
import { show, showJson } from "../show.ts";

/** A node with the pods 10.244.1.5 and 10.244.1.6, the second of which serves 10.96.0.10:80. */
function node(): WindowsMachine {
  const network = new Network(new VirtualClock(), new SeededRandom(1));
  const machine = new WindowsMachine(network, "win1");
  const card = new Nic(machine.initNs, { name: "Ethernet", segment: new Segment(network, "lan") });
  card.setUp();
  card.addAddress(parseIp("192.168.0.12"), 16);
  const { hns } = machine;
  const { ID } = hns.createNetwork({
    Name: "cbr0",
    Type: "L2Bridge",
    Ipams: [
      {
        Type: "Static",
        Subnets: [
          {
            IpAddressPrefix: "10.244.1.0/24",
            Routes: [{ NextHop: "10.244.1.1", DestinationPrefix: "0.0.0.0/0" }],
          },
        ],
      },
    ],
  });
  const [, server] = ["10.244.1.5", "10.244.1.6"].map((IpAddress, i) => {
    const endpoint = hns.createEndpoint(ID, {
      Name: `pod${i + 1}`,
      IpConfigurations: [{ IpAddress }],
      MacAddress: `00-15-5D-00-00-0${i + 1}`,
      Routes: [{ NextHop: "10.244.1.2", DestinationPrefix: "0.0.0.0/0" }],
    });
    const netns = machine.addNamespace(`pod${i + 1}`);
    hns.addNamespaceEndpoint(netns, endpoint.ID, "eth0");
    startEchoServer(netns, { protocol: IPPROTO_TCP, port: 8080, owner: "server" });
    return endpoint;
  });
  const gateway = hns.createEndpoint(ID, {
    Name: "gw",
    IpConfigurations: [{ IpAddress: "10.244.1.2" }],
  });
  hns.hostAttach(gateway.ID);
  machine.initNs.sysctl.set("net.ipv4.ip_forward", 1);
  const mapping = { Protocol: IPPROTO_TCP, DistributionType: 0, Flags: 0 };
  hns.createLoadBalancer(
    {
      HostComputeEndpoints: [server?.ID ?? ""],
      SourceVIP: "",
      FrontendVIPs: ["10.96.0.10"],
      PortMappings: [{ ...mapping, InternalPort: 8080, ExternalPort: 80 }],
      Flags: LoadBalancerFlagsDSR,
    },
    { kind: "Service", namespace: "default", name: "web" },
  );
  return machine;
}

/** GUIDs are random, and long. */
function withoutIds(text: string): string {
  return text
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, "GUID")
    .replace(/NIC [0-9a-f]{8}/g, "NIC ID")
    .replace(/(LB_DSR|LB_HOST)_[0-9a-f]{5}/g, "$1_ID");
}

test.each([
  [
    "hns-networks",
    `Network : GUID
    Name             : cbr0
    Type             : L2Bridge
    Subnet Address   : 10.244.1.0/24
    Gateway          : 10.244.1.1
    Management IP    : 192.168.0.12

`,
  ],
  [
    "hns-loadbalancers",
    `Load Balancer : GUID
    Virtual IPs      : 10.96.0.10
    Direct IP IDs    : GUID
    Ports            : 80 to 8080, protocol 6
    Source VIP       : (node)
    DSR              : True
    For              : Service default/web

`,
  ],
] as const)("%s", (view, expected) => {
  expect(withoutIds(show(view, node().initNs))).toBe(expected);
});

test("hns-endpoints has a block for each, with the network's name", () => {
  const text = withoutIds(show("hns-endpoints", node().initNs));
  expect(text.split("\n\n")[0]).toBe(`Endpoint : GUID
    Name             : pod1
    Virtual Network  : cbr0
    IP Address       : 10.244.1.5
    MAC Address      : 00-15-5D-00-00-01
    Remote           : False`);
  expect(text.match(/^Endpoint/gm)?.length).toBe(3);
});

test("vfp lists the rules of a container's port, and of a host all ports", () => {
  const machine = node();
  const pod = machine.findNamespace("pod1");
  if (pod === undefined) throw new Error("no pod");
  expect(withoutIds(show("vfp", pod))).toBe(`Port name            : GUID
Port Friendly name   : Container NIC ID
MAC address          : 00-15-5D-00-00-01
  LAYER : LB_DSR
    GROUP : LB_DSR_IPv4_OUT
      Direction : OUT
      RULE :
        Friendly name : LB_DSR_ID_192.168.0.12_10.96.0.10_80_8080_6
        Priority : 100
        Type : lbnat
        Conditions:
          Protocols : 6
          Destination IP : 10.96.0.10
          Destination ports : 80
        Number of DIP Ranges : 1
        DIP Range : { 10.244.1.6 : 8080 }
        Distribution : 5-tuple, DSR
`);
  const names = show("vfp", machine.initNs).match(/(?<=Friendly name {3}: ).*/g);
  expect(names?.map(withoutIds)).toEqual([
    "vEthernet (Ethernet)",
    "Container NIC ID",
    "Container NIC ID",
    "gw",
  ]);
});

test("vfp-flows tells what became of a connection", () => {
  const machine = node();
  const pod = machine.findNamespace("pod1");
  if (pod === undefined) throw new Error("no pod");
  const dst = parseIp("10.96.0.10");
  const { outcome } = exchange(pod, { protocol: IPPROTO_TCP, dst, port: 80, srcPort: 50_000 });
  expect(outcome).toBe("connected");
  expect(show("vfp-flows", pod).split("\n")[2]).toBe(
    "  protocol 6 10.244.1.5:50000 > 10.96.0.10:80 becomes 10.244.1.5:50000 > 10.244.1.6:8080, packets 10, idle 0 s",
  );
});

test("JSON is that of the API", () => {
  const [object] = showJson("hns-loadbalancers", node().initNs) as Record<string, unknown>[];
  expect(object).toMatchObject({ FrontendVIPs: ["10.96.0.10"], SourceVIP: "", Flags: 1 });
  expect(object).not.toHaveProperty("origin");
});
