import type { NetNamespace } from "@cnilab/linux";
import type { IpFamily } from "@cnilab/net";
import type { RoutingSettings } from "./felix-settings.ts";

/** Where the CNI plugin reads what pods' interfaces may carry. */
export const MTU_FILE = "/var/lib/calico/mtu";

/** Bytes that an encapsulation adds (`felix/dataplane/linux/int_dataplane.go`). */
const OVERHEAD = {
  ipip: 20,
  vxlan: { 4: 50, 6: 70 },
  wireguard: { 4: 60, 6: 80 },
} as const;

/** Where no interface matches: the smallest among clouds' networks. */
const UNKNOWN_HOST_MTU = 1460;

/** What is on. */
export interface EnabledEncapsulations {
  readonly ipip: boolean;
  readonly vxlan: Readonly<Record<IpFamily, boolean>>;
  readonly wireguard: Readonly<Record<IpFamily, boolean>>;
}

/** Bytes that a packet of each way may have, and a pod's. */
export interface Mtus {
  readonly host: number;
  readonly ipip: number;
  readonly vxlan: Readonly<Record<IpFamily, number>>;
  readonly wireguard: Readonly<Record<IpFamily, number>>;
  readonly pod: number;
}

/** The lowest among the machine's own interfaces that are up (findHostMTU). */
export function hostMtu(netns: NetNamespace, pattern: string): number {
  const regex = new RegExp(pattern);
  let smallest = 0;
  for (const { name, up, carrier, mtu } of netns.devices) {
    if (regex.test(name) && up && carrier && (smallest === 0 || mtu < smallest)) smallest = mtu;
  }
  return smallest === 0 ? UNKNOWN_HOST_MTU : smallest;
}

/** ConfigureDefaultMTUs and determinePodMTU: what was set counts as it is, also where it is too large. */
export function mtus(host: number, settings: RoutingSettings, on: EnabledEncapsulations): Mtus {
  const ipip = settings.ipipMtu || host - OVERHEAD.ipip;
  const vxlan = {
    4: settings.vxlanMtu || host - OVERHEAD.vxlan[4],
    6: settings.vxlanMtuV6 || host - OVERHEAD.vxlan[6],
  };
  const wireguard = {
    4: settings.wireguardMtu || host - OVERHEAD.wireguard[4],
    6: settings.wireguardMtuV6 || host - OVERHEAD.wireguard[6],
  };
  const enabled: number[] = [];
  if (on.ipip) enabled.push(ipip);
  for (const family of [4, 6] as const) {
    if (on.vxlan[family]) enabled.push(vxlan[family]);
    if (on.wireguard[family]) enabled.push(wireguard[family]);
  }
  return { host, ipip, vxlan, wireguard, pod: enabled.length > 0 ? Math.min(...enabled) : host };
}
