import type { NetNamespace, Network } from "@cnilab/linux";
import { type NetDevice, Nic } from "@cnilab/linux";
import { namespacesOf, segmentsOf } from "./namespace-names.ts";

/** Something that kernels may lack, as a sentence names it: "this kernel has no …". */
export type KernelFeature =
  | `${DeviceKind} devices`
  | "redirection by tc"
  | "netem queues"
  | "IPVS"
  | "IPsec";

export type DeviceKind =
  | "veth"
  | "bridge"
  | "vxlan"
  | "geneve"
  | "wireguard"
  | "macvlan"
  | "ipip"
  | "sit"
  | "ifb"
  | "openvswitch"
  | "tun";

/** How to find out whether a kernel has it: these commands succeed in an empty namespace. */
export const PROBES: Readonly<Record<KernelFeature, string>> = {
  "veth devices": "ip link add type veth",
  "bridge devices": "ip link add type bridge",
  "vxlan devices": "ip link add type vxlan id 1 dstport 8472",
  "geneve devices": "ip link add name g type geneve id 1 remote 192.0.2.1",
  "wireguard devices": "ip link add name wg9 type wireguard",
  "macvlan devices": "ip link add name up0 type bridge && ip link add link up0 type macvlan",
  "ipip devices": "ip link add name tunnel type ipip local 192.0.2.1 remote any",
  "sit devices": "ip link add name tunnel type sit local 192.0.2.1 remote any",
  "ifb devices": "ip link add type ifb",
  "openvswitch devices": "ovs-dpctl add-dp datapath",
  "tun devices": "ip tuntap add dev tun9 mode tun",
  "redirection by tc":
    "ip link add name b type bridge && tc qdisc add dev b ingress && " +
    "tc filter add dev b parent ffff: protocol all u32 match u32 0 0 action mirred egress redirect dev b",
  IPVS: "ipvsadm -L",
  IPsec: `ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 256 mode transport aead "rfc4106(gcm(aes))" 0x${"00".repeat(20)} 128`,
  "netem queues": "ip link add name b type bridge && tc qdisc add dev b root netem delay 1ms",
};

/** Programs beyond those that every script calls, by what they are for. */
export const PROGRAMS: Readonly<Partial<Record<KernelFeature, string>>> = {
  "wireguard devices": "wg",
  "openvswitch devices": "ovs-dpctl",
  IPVS: "ipvsadm",
};

/** What a kernel must have for a network. */
export function featuresOf(network: Network): ReadonlySet<KernelFeature> {
  const features = new Set<KernelFeature>();
  for (const kernel of network.kernels.values()) {
    for (const netns of namespacesOf(kernel)) {
      for (const feature of namespaceFeatures(netns)) features.add(feature);
    }
  }
  for (const segment of segmentsOf(network)) {
    features.add("bridge devices");
    for (const { fault } of segment.faults) if (fault.delayMs) features.add("netem queues");
  }
  return features;
}

function namespaceFeatures(netns: NetNamespace): KernelFeature[] {
  const features = netns.devices.flatMap(kindFeature);
  if (netns.devices.some((dev) => dev.tc?.redirect !== undefined)) {
    features.push("redirection by tc");
  }
  if (netns.findXfrm() !== undefined) features.push("IPsec");
  if ((netns.findIpvs()?.serviceCount ?? 0) > 0) features.push("IPVS");
  return features;
}

function kindFeature(dev: NetDevice): KernelFeature[] {
  if (dev.isLoopback) return [];
  if (dev instanceof Nic) return ["veth devices"];
  // A bridge stands in for dummy.
  const name = `${dev.kind === "dummy" ? "bridge" : dev.kind} devices`;
  return Object.hasOwn(PROBES, name) ? [name as KernelFeature] : [];
}
