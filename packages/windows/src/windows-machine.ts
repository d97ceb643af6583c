import { Kernel, type NetNamespace, type Network } from "@cnilab/linux";
import { HostNetworkService } from "./hns/host-network-service.ts";
import { NAT_PORTS } from "./vswitch/outbound-nat-pool.ts";

/**
 * A Windows node. Its compartments, each with a TCP/IP stack of its own, are namespaces of package `linux` without
 * anything of Netfilter; the host's is `initNs`. What joins them is Windows' own: HNS, the virtual switch, VFP.
 */
export class WindowsMachine extends Kernel {
  override readonly os = "windows";
  readonly hns: HostNetworkService = new HostNetworkService(this);

  constructor(network: Network, hostname: string) {
    super(network, hostname);
    likeWindows(this.initNs);
  }

  /** A compartment for a container. */
  override addNamespace(name: string): NetNamespace {
    const netns = super.addNamespace(name);
    likeWindows(netns);
    return netns;
  }

  /** Forgets all flows, so that the next packet of each meets the rules. */
  forgetFlows(): void {
    this.hns.vswitch?.forgetFlows();
  }
}

/** What Windows' TCP/IP does otherwise than a freshly booted Linux (docs.microsoft.com: netsh int ipv4 show dynamicport, DefaultTTL). */
function likeWindows({ sysctl }: NetNamespace): void {
  sysctl.set("net.ipv4.ip_default_ttl", 128);
  sysctl.set("net.ipv6.conf.default.hop_limit", 128);
  sysctl.set("net.ipv4.ip_local_port_range", `49152\t${NAT_PORTS.first - 1}`);
  // Strong host model: an interface answers for its own addresses only.
  sysctl.set("net.ipv4.conf.all.arp_ignore", 1);
  sysctl.set("net.ipv4.conf.all.send_redirects", 0);
  sysctl.set("net.ipv4.conf.default.send_redirects", 0);
}
