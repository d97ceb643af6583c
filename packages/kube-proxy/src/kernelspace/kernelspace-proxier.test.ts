import { type EndpointSlice, SeededRandom, type Service, VirtualClock } from "@cnilab/core";
import { Network, Nic, Segment } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { type HcnNetworkType, WindowsMachine } from "@cnilab/windows";
import { expect, test } from "vitest";
import { service, slice } from "../../test/objects.ts";
import { ServiceStates } from "../service-state.ts";
import { conjureMac } from "./hns-endpoints.ts";
import { KernelspaceProxier } from "./kernelspace-proxier.ts";
import { WINKERNEL_DEFAULTS } from "./winkernel-config.ts";

const NODE_IP = parseIp("192.168.0.12");
const WEB = service("web", { clusterIP: "10.96.0.10", ports: [{ port: 80, targetPort: 8080 }] });
const NODE_PORT = service("web", {
  type: "NodePort",
  clusterIP: "10.96.0.10",
  ports: [{ port: 80, targetPort: 8080, nodePort: 30_080 }],
});
const PORTS = [{ port: 8080 }];

/** A Windows node `w` with the pod 10.244.1.5, and kube-proxy on it. */
class ProxiedNode {
  readonly machine: WindowsMachine;
  readonly proxier: KernelspaceProxier;
  readonly networkId: string;
  readonly #states = new ServiceStates(4);
  #version = 0;

  constructor(type: HcnNetworkType, sourceVip = "") {
    const network = new Network(new VirtualClock(), new SeededRandom(1));
    this.machine = new WindowsMachine(network, "w");
    const segment = new Segment(network, "lan");
    const card = new Nic(this.machine.initNs, { name: "Ethernet", segment });
    card.setUp();
    card.addAddress(NODE_IP, 16);
    const { hns } = this.machine;
    const { ID } = hns.createNetwork({
      Name: "pods",
      Type: type,
      Ipams: [
        {
          Type: "Static",
          Subnets: [
            {
              IpAddressPrefix: "10.244.1.0/24",
              Routes: [{ NextHop: "10.244.1.1", DestinationPrefix: "0.0.0.0/0" }],
              Policies: [{ Type: "VSID", Settings: { IsolationId: 4096 } }],
            },
          ],
        },
      ],
    });
    this.networkId = ID;
    if (type === "Overlay") this.#addRemoteSubnet();
    hns.createEndpoint(ID, { Name: "pod", IpConfigurations: [{ IpAddress: "10.244.1.5" }] });
    this.proxier = new KernelspaceProxier(
      4,
      { ...WINKERNEL_DEFAULTS, networkName: "pods", sourceVip },
      { machine: this.machine, name: "w", addresses: [NODE_IP] },
    );
  }

  #addRemoteSubnet(): void {
    this.machine.hns.addNetworkPolicy(this.networkId, {
      Type: "RemoteSubnetRoute",
      Settings: {
        DestinationPrefix: "10.244.2.0/24",
        IsolationId: 4096,
        ProviderAddress: "192.168.0.13",
        DistributedRouterMacAddress: "02:00:00:00:00:02",
      },
    });
  }

  sync(services: readonly Service[], slices: readonly EndpointSlice[]): void {
    const version = ++this.#version;
    this.proxier.sync(
      this.#states.of(
        { version, objects: new Map(services.map((s) => [`default/${s.metadata.name}`, s])) },
        { version, objects: new Map(slices.map((s) => [`default/${s.metadata.name}`, s])) },
      ),
    );
  }

  /** `address` of a pod here, `~address` of a remote endpoint; with the node behind it on an overlay. */
  get endpoints(): string[] {
    return this.machine.hns.listEndpoints().map(({ IpConfigurations, Flags, Policies }) => {
      const [policy] = Policies;
      const at = policy?.Type === "ProviderAddress" ? ` at ${policy.Settings.ProviderAddress}` : "";
      return `${Flags === 1 ? "~" : ""}${IpConfigurations[0]?.IpAddress}${at}`;
    });
  }

  /** `frontend:port to endpoints as source`. */
  get loadBalancers(): string[] {
    const { hns } = this.machine;
    const byId = new Map(hns.listEndpoints().map((e) => [e.ID, e.IpConfigurations[0]?.IpAddress]));
    return hns.listLoadBalancers().map((lb) => {
      const port = lb.PortMappings[0]?.ExternalPort;
      const to = lb.HostComputeEndpoints.map((id) => byId.get(id)).join("+");
      const as = lb.SourceVIP === "" ? "" : ` as ${lb.SourceVIP}`;
      return `${lb.FrontendVIPs.join() || "*"}:${port} to ${to}${as}`;
    });
  }

  get ids(): string[] {
    return this.machine.hns.listLoadBalancers().map(({ ID }) => ID);
  }
}

test("makes remote endpoints and load balancers, and takes both away with the Service", () => {
  const node = new ProxiedNode("L2Bridge");
  node.sync([NODE_PORT], [slice("web", PORTS, ["10.244.1.5@w", "10.244.2.7@x"])]);
  expect(node.endpoints).toEqual(["10.244.1.5", "~10.244.2.7"]);
  expect(node.loadBalancers).toEqual([
    "10.96.0.10:80 to 10.244.1.5+10.244.2.7",
    "*:30080 to 10.244.1.5+10.244.2.7",
  ]);
  node.sync([], []);
  expect([node.endpoints, node.loadBalancers]).toEqual([["10.244.1.5"], []]);
});

test("changes a load balancer in place with its endpoints, and makes it anew with its Service", () => {
  const node = new ProxiedNode("L2Bridge");
  node.sync([WEB], [slice("web", PORTS, ["10.244.2.7@x"])]);
  const [first] = node.ids;
  node.sync([WEB], [slice("web", PORTS, ["10.244.2.7@x", "10.244.2.8@x"])]);
  expect(node.ids).toEqual([first]);
  expect(node.loadBalancers).toEqual(["10.96.0.10:80 to 10.244.2.7+10.244.2.8"]);
  const affine = service("web", { ...WEB.spec, sessionAffinity: "ClientIP" });
  node.sync([affine], [slice("web", PORTS, ["10.244.2.8@x"])]);
  expect(node.ids).not.toEqual([first]);
  expect(node.endpoints).toEqual(["10.244.1.5", "~10.244.2.8"]);
});

test("has no load balancer without endpoints: nothing answers, and nothing refuses", () => {
  const node = new ProxiedNode("L2Bridge");
  node.sync([NODE_PORT], []);
  expect(node.loadBalancers).toEqual([]);
  node.sync([NODE_PORT], [slice("web", PORTS, ["10.244.1.5@w"])]);
  expect(node.loadBalancers.length).toBe(2);
  node.sync([NODE_PORT], [slice("web", PORTS, ["10.244.1.5@w!"])]);
  expect(node.loadBalancers).toEqual([]);
});

test("shares a remote endpoint among Services, and deletes it after the last", () => {
  const node = new ProxiedNode("L2Bridge");
  const other = service("other", { clusterIP: "10.96.0.11", ports: [{ port: 80 }] });
  const slices = ["web", "other"].map((name) => slice(name, PORTS, ["10.244.2.7@x"]));
  node.sync([WEB, other], slices);
  expect(node.endpoints).toEqual(["10.244.1.5", "~10.244.2.7"]);
  node.sync([WEB], slices);
  expect(node.endpoints).toEqual(["10.244.1.5", "~10.244.2.7"]);
  node.sync([], slices);
  expect(node.endpoints).toEqual(["10.244.1.5"]);
});

test("leaves out pods of this node that HNS does not know, and protocols that it has not", () => {
  const node = new ProxiedNode("L2Bridge");
  const sctp = service("web", { clusterIP: "10.96.0.10", ports: [{ port: 80, protocol: "SCTP" }] });
  node.sync([WEB], [slice("web", PORTS, ["192.168.0.12@w", "10.244.1.5@w"])]);
  expect(node.loadBalancers).toEqual(["10.96.0.10:80 to 10.244.1.5"]);
  expect(node.proxier.log).toEqual(["Local endpoint not found: 192.168.0.12 on network pods"]);
  node.sync([sctp], [slice("web", [{ port: 80, protocol: "SCTP" }], ["10.244.1.5@w"])]);
  expect(node.loadBalancers).toEqual([]);
  expect(node.proxier.log.at(-1)).toBe(
    "policy of default/web failed: no load balancing of IP protocol 132",
  );
});

test.each([
  { what: "pods", endpoint: "10.244.2.7@x", at: "192.168.0.13", as: "10.244.1.2" },
  {
    what: "another node itself",
    endpoint: "192.168.0.13@x",
    at: "192.168.0.13",
    as: "192.168.0.12",
  },
  { what: "an address outside", endpoint: "203.0.113.5", at: "192.168.0.12", as: "192.168.0.12" },
])("on an overlay a Service of $what is served as $as", ({ endpoint, at, as }) => {
  const node = new ProxiedNode("Overlay", "10.244.1.2");
  node.sync([WEB], [slice("web", PORTS, [endpoint])]);
  const [ip] = endpoint.split("@");
  expect(node.endpoints).toEqual([
    "10.244.1.5",
    "10.244.1.2",
    "~10.96.0.10 at 192.168.0.12",
    `~${ip} at ${at}`,
  ]);
  expect(node.loadBalancers).toEqual([`10.96.0.10:80 to ${ip} as ${as}`]);
});

test("starts over when the network is another one", () => {
  const node = new ProxiedNode("L2Bridge");
  const slices = [slice("web", PORTS, ["10.244.2.7@x"])];
  node.sync([WEB], slices);
  node.machine.hns.deleteNetwork(node.networkId);
  node.sync([WEB], slices);
  expect(node.loadBalancers).toEqual([]);
});

test.each([
  ["10.244.2.7", "02-11-0A-F4-02-07"],
  ["fd00::1234:5678", "02-11-78-56-34-12"],
])("a MAC for %s", (ip, mac) => {
  expect(conjureMac(parseIp(ip))).toBe(mac);
});
