import { formatIp, type Prefix, tryParsePrefix } from "@cnilab/net";
import { firstAddress, type NetConf } from "./conf/net-conf.ts";
import type { Lease } from "./lease/lease.ts";

/** The file that flanneld leaves for the CNI plugin (pkg/subnet/subnet.go WriteSubnetFile). */
export function formatSubnetEnv(conf: NetConf, lease: Lease, mtu: number, ipMasq: boolean): string {
  const lines: string[] = [];
  if (conf.enableIPv4) {
    lines.push(`FLANNEL_NETWORK=${conf.network}`, `FLANNEL_SUBNET=${gateway(lease.subnet)}`);
  }
  if (conf.enableIPv6) {
    lines.push(
      `FLANNEL_IPV6_NETWORK=${conf.ipv6Network}`,
      `FLANNEL_IPV6_SUBNET=${gateway(lease.ipv6Subnet)}`,
    );
  }
  lines.push(`FLANNEL_MTU=${mtu}`, `FLANNEL_IPMASQ=${ipMasq}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The subnet with its first usable address, as `10.244.1.1/24`; Go's zero value where there is none. */
function gateway(subnet: Prefix | undefined): string {
  if (subnet === undefined) return "0.0.0.1/0";
  return `${formatIp(firstAddress(subnet))}/${subnet.length}`;
}

/** What an earlier run wrote. */
export interface PreviousSubnets {
  readonly network: Prefix | undefined;
  readonly subnet: Prefix | undefined;
  readonly ipv6Network: Prefix | undefined;
  readonly ipv6Subnet: Prefix | undefined;
}

/** @param text `undefined` where there is no file */
export function parseSubnetEnv(text: string | undefined): PreviousSubnets {
  const values = new Map<string, string>();
  for (const line of (text ?? "").split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) values.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }
  const prefix = (key: string) => tryParsePrefix(values.get(key) ?? "");
  return {
    network: prefix("FLANNEL_NETWORK"),
    subnet: prefix("FLANNEL_SUBNET"),
    ipv6Network: prefix("FLANNEL_IPV6_NETWORK"),
    ipv6Subnet: prefix("FLANNEL_IPV6_SUBNET"),
  };
}
