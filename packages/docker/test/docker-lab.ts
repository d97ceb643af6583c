import { SeededRandom, VirtualClock } from "@cnilab/core";
import {
  type Exchange,
  Kernel,
  type NetNamespace,
  Network,
  Nic,
  Segment,
  startEchoServer,
} from "@cnilab/linux";
import { formatIp, IPPROTO_TCP, IPPROTO_UDP, parseIp } from "@cnilab/net";
import type { ConnectSpec, Container, ContainerSpec, DockerHost } from "../src/index.ts";

/** The segment that a host with docker and its neighbours are on. */
export class Lan {
  readonly clock: VirtualClock = new VirtualClock();
  readonly network: Network;
  readonly segment: Segment;

  constructor(seed: number) {
    this.network = new Network(this.clock, new SeededRandom(seed));
    this.segment = new Segment(this.network, "lan");
  }

  /** A machine with `ens1` on the segment: IPv4 addresses of a /24, IPv6 addresses of a /64. */
  machine(name: string, ...addresses: string[]): Kernel {
    const kernel = new Kernel(this.network, name);
    kernel.initNs.loopback.setUp();
    const nic = new Nic(kernel.initNs, { name: "ens1", segment: this.segment });
    nic.setUp();
    for (const address of addresses.map(parseIp)) {
      nic.addAddress(address, typeof address === "number" ? 24 : 64);
    }
    return kernel;
  }
}

/** Turns forwarding on for both families, as dockerd demands it before it uses nftables. */
export function forward({ sysctl }: NetNamespace): void {
  const keys = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/forwarding"];
  for (const key of keys) sysctl.set(`net/${key}`, 1);
}

/** `docker run` on networks that may be given by name alone. */
export function run(
  docker: DockerHost,
  name: string,
  networks: readonly (string | ConnectSpec)[],
  spec: Partial<ContainerSpec> = {},
): Container {
  const network = networks.map((each) => (typeof each === "string" ? { network: each } : each));
  return docker.run({ image: "i", network, ...spec, name });
}

/** Serves TCP and UDP port 80. */
export function serve(netns: NetNamespace, owner: string): void {
  for (const protocol of [IPPROTO_TCP, IPPROTO_UDP]) {
    startEchoServer(netns, { protocol, port: 80, owner });
  }
}

/** Who answered and whom it saw, or what went wrong. */
export function answered({ outcome, report }: Exchange): string {
  return report === undefined ? outcome : `${report.owner} saw ${formatIp(report.seenAddress)}`;
}
