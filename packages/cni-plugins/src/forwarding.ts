import type { NetNamespace } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";

/** Makes the node a router of a family, unless it is (containernetworking/plugins pkg/ip/ipforward_linux.go). */
export function enableForwarding(host: NetNamespace, family: IpFamily): void {
  const { conf4All, conf6All } = host.sysctl;
  if ((family === 4 ? conf4All : conf6All).forwarding === 1) return;
  host.sysctl.set(family === 4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding", 1);
}
