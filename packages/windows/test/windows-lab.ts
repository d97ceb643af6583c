import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  type Exchange,
  exchange,
  Kernel,
  type NetNamespace,
  Network,
  Nic,
  Segment,
  startEchoServer,
  type Trace,
} from "@cnilab/linux";
import {
  formatIp,
  IPPROTO_ICMP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  parseIp,
  parsePrefix,
} from "@cnilab/net";
import {
  type HcnEndpointPolicy,
  type HcnLoadBalancerSettings,
  type HcnNetworkType,
  type HostComputeEndpoint,
  WindowsMachine,
} from "../src/index.ts";

export const NODE = "192.168.0.12";
export type AskedProtocol = "tcp" | "udp" | "icmp";
const PROTOCOLS: Readonly<Record<AskedProtocol, number>> = {
  tcp: IPPROTO_TCP,
  udp: IPPROTO_UDP,
  icmp: IPPROTO_ICMP,
};

export interface LabPod {
  readonly netns: NetNamespace;
  readonly endpoint: HostComputeEndpoint;
}

/** A Windows node `win1` with one network of HNS, and Linux machines beside it on the segment. */
export class WindowsLab {
  readonly network: Network = new Network(new VirtualClock(), new SeededRandom(1));
  readonly segment: Segment = new Segment(this.network, "lan", 1500);
  readonly machine: WindowsMachine = new WindowsMachine(this.network, "win1");
  /** ID of its network. */
  readonly networkId: string;
  #pods = 0;

  constructor(type: HcnNetworkType) {
    const { initNs, hns } = this.machine;
    initNs.loopback.setUp();
    const card = new Nic(initNs, { name: "Ethernet", segment: this.segment });
    card.setUp();
    card.addAddress(parseIp(NODE), 16);
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
              ...(type === "Overlay"
                ? { Policies: [{ Type: "VSID", Settings: { IsolationId: 4096 } }] as const }
                : {}),
            },
          ],
        },
      ],
    });
    this.networkId = ID;
    if (type === "Overlay") hns.addNetworkPolicy(ID, { Type: "HostRoute", Settings: {} });
    else {
      const gateway = hns.createEndpoint(ID, {
        Name: "pods_ep",
        IpConfigurations: [{ IpAddress: "10.244.1.2" }],
      });
      hns.hostAttach(gateway.ID);
      initNs.sysctl.set("net.ipv4.ip_forward", 1);
    }
  }

  /** A container with an echo server on port 80 of TCP and UDP. */
  pod(address: string, policies: readonly HcnEndpointPolicy[] = []): LabPod {
    const { hns } = this.machine;
    const name = `pod${++this.#pods}`;
    const netns = this.machine.addNamespace(name);
    netns.loopback.setUp();
    const overlay = hns.getNetworkByName("pods")?.Type === "Overlay";
    const NextHop = overlay ? "10.244.1.1" : "10.244.1.2";
    const endpoint = hns.createEndpoint(this.networkId, {
      Name: name,
      IpConfigurations: [{ IpAddress: address }],
      Routes: [{ NextHop, DestinationPrefix: "0.0.0.0/0" }],
      Policies: policies,
    });
    hns.addNamespaceEndpoint(netns, endpoint.ID, "eth0");
    serve(netns, name);
    return { netns, endpoint };
  }

  /** A Linux machine that finds the node's pods by the node, and serves on port 80. */
  linux(name: string, address: string): NetNamespace {
    const { initNs } = new Kernel(this.network, name);
    initNs.loopback.setUp();
    const eth0 = new Nic(initNs, { name: "eth0", segment: this.segment });
    eth0.setUp();
    eth0.addAddress(parseIp(address), 16);
    initNs.addRoute({ dst: parsePrefix("10.244.1.0/24"), via: parseIp(NODE) });
    serve(initNs, name);
    return initNs;
  }

  /** A load balancer for port 80 of TCP. */
  balance(
    endpoints: readonly HostComputeEndpoint[],
    settings: Partial<HcnLoadBalancerSettings> & {
      readonly port?: number;
      readonly mappingFlags?: number;
      readonly distribution?: number;
    },
  ): string {
    const { port = 80, mappingFlags = 0, distribution = 0, ...rest } = settings;
    return this.machine.hns.createLoadBalancer({
      HostComputeEndpoints: endpoints.map(({ ID }) => ID),
      SourceVIP: "",
      FrontendVIPs: ["10.96.0.10"],
      Flags: 0,
      PortMappings: [
        {
          Protocol: IPPROTO_TCP,
          InternalPort: 80,
          ExternalPort: port,
          DistributionType: distribution,
          Flags: mappingFlags,
        },
      ],
      ...rest,
    }).ID;
  }
}

function serve(netns: NetNamespace, owner: string): void {
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
    startEchoServer(netns, { protocol, port: 80, owner });
  }
}

export function ask(
  from: NetNamespace,
  to: string,
  options: {
    readonly protocol?: AskedProtocol;
    readonly port?: number;
    readonly trace?: Trace;
  } = {},
): Exchange {
  const { protocol = "tcp", port = 80, trace } = options;
  return exchange(from, { protocol: PROTOCOLS[protocol], dst: parseIp(to), port, trace });
}

/** `who as source`, or what went wrong. */
export function told({ outcome, report, replyFrom, drops }: Exchange): string {
  if (report !== undefined) return `${report.owner} as ${formatIp(report.seenAddress)}`;
  if (replyFrom !== undefined) return `reply from ${formatIp(replyFrom)}`;
  const drop = drops.at(-1);
  return drop === undefined ? outcome : `${outcome}: ${drop.reason}`;
}
