import type { ApiClient, ClusterConfig } from "@cnilab/core";
import type { NetDevice, NetNamespace } from "@cnilab/linux";
import { formatIp, type IpAddress, type IpFamily, isLinkLocal, isLoopback } from "@cnilab/net";
import type { EncapsulationMode, IPPool } from "../api/v3/ip-pool.ts";
import { NODE_ANNOTATIONS } from "../calc/l3-routes/node-annotations.ts";

/** Interfaces that are no way to other nodes (`node/pkg/lifecycle/startup/autodetection` DEFAULT_INTERFACES_TO_EXCLUDE). */
const EXCLUDED =
  /^(docker.*|cbr.*|dummy.*|virbr.*|lxcbr.*|veth.*|lo|cali.*|tunl.*|flannel.*|kube-ipvs.*|cni.*|vxlan\.calico.*|vxlan-v6\.calico.*|wireguard\.cali.*|wg-v6\.cali.*|nodelocaldns.*)$/;

export interface HostAddress {
  readonly dev: NetDevice;
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** The first address of the first interface that will do (`first-found`). */
export function detectAddress(netns: NetNamespace, family: IpFamily): HostAddress | undefined {
  for (const dev of netns.devices) {
    if (EXCLUDED.test(dev.name) || !dev.up) continue;
    for (const { address, prefixLength } of dev.addressesOf(family)) {
      if (isLinkLocal(address) || isLoopback(address)) continue;
      return { dev, address, prefixLength };
    }
  }
  return undefined;
}

/** Writes the node's addresses down, with their masks (configureIPsAndSubnets); others route by these. */
export function writeNodeAddresses(
  api: ApiClient,
  node: string,
  addresses: readonly HostAddress[],
): void {
  const found: Record<string, string> = {};
  for (const { address, prefixLength } of addresses) {
    const key = typeof address === "number" ? "ipv4Address" : "ipv6Address";
    found[NODE_ANNOTATIONS[key]] = `${formatIp(address)}/${prefixLength}`;
  }
  annotateNode(api, node, found);
}

/** `undefined` takes an annotation away. */
export function annotateNode(
  api: ApiClient,
  name: string,
  changes: Readonly<Record<string, string | undefined>>,
): void {
  api.update("Node", name, (node) => {
    const before = node.metadata.annotations ?? {};
    const annotations: Record<string, string> = { ...before };
    let changed = false;
    for (const [key, value] of Object.entries(changes)) {
      if (before[key] === value) continue;
      changed = true;
      if (value === undefined) delete annotations[key];
      else annotations[key] = value;
    }
    return changed ? { ...node, metadata: { ...node.metadata, annotations } } : node;
  });
}

/** What the DaemonSet's environment says of the first pools (`CALICO_IPV4POOL_…`). */
export interface DefaultPools {
  readonly ipipMode: EncapsulationMode;
  readonly vxlanMode: EncapsulationMode;
  readonly vxlanModeV6: EncapsulationMode;
  readonly natOutgoing: boolean;
  readonly natOutgoingV6: boolean;
  readonly blockSize: number;
  readonly blockSizeV6: number;
}

/** Makes a pool of kubeadm's pod range of each family that has none yet (configureIPPools). */
export function createDefaultPools(
  api: ApiClient,
  config: ClusterConfig,
  defaults: DefaultPools,
): void {
  const there = api.list("IPPool.projectcalico.org");
  for (const family of config.ipFamilies) {
    const cidr = config.clusterCidrs.find((c) => c.family === family);
    const has = there.some((pool) => pool.spec.cidr.includes(":") === (family === 6));
    if (cidr === undefined || has) continue;
    const pool: IPPool = {
      apiVersion: "projectcalico.org/v3",
      kind: "IPPool",
      metadata: { name: `default-ipv${family}-ippool` },
      spec: {
        cidr: String(cidr),
        blockSize: family === 4 ? defaults.blockSize : defaults.blockSizeV6,
        ipipMode: family === 4 ? defaults.ipipMode : "Never",
        vxlanMode: family === 4 ? defaults.vxlanMode : defaults.vxlanModeV6,
        natOutgoing: family === 4 ? defaults.natOutgoing : defaults.natOutgoingV6,
        disabled: false,
        disableBGPExport: false,
        nodeSelector: "all()",
        allowedUses: ["Workload", "Tunnel"],
        assignmentMode: "Automatic",
      },
    };
    api.create(pool);
  }
}
