import { type ClusterConfig, InputError } from "@cnilab/core";
import { type IpFamily, type Prefix, parsePrefix } from "@cnilab/net";

const POD_RANGES: Readonly<Record<IpFamily, string>> = {
  4: "10.244.0.0/16",
  6: "fd00:10:244::/48",
};
const SERVICE_RANGES: Readonly<Record<IpFamily, string>> = {
  4: "10.96.0.0/12",
  6: "fd00:10:96::/112",
};

/** Room for eight addresses, which kube-apiserver wants at least (pkg/controlplane/services.go ServiceIPRange). */
const LONGEST_SERVICE_RANGE: Readonly<Record<IpFamily, number>> = { 4: 29, 6: 125 };

/** Fills in kubeadm's defaults and checks that ranges fit together. @throws InputError */
export function clusterConfig(given: Partial<ClusterConfig> = {}): ClusterConfig {
  const ipFamilies = given.ipFamilies ?? familiesOf(given) ?? [4];
  const config: ClusterConfig = {
    clusterCidrs: given.clusterCidrs ?? ipFamilies.map((f) => parsePrefix(POD_RANGES[f])),
    ...(given.allocateNodeCidrs === undefined
      ? {}
      : { allocateNodeCidrs: given.allocateNodeCidrs }),
    nodeCidrMaskSize: given.nodeCidrMaskSize ?? { 4: 24, 6: 64 },
    serviceCidrs: given.serviceCidrs ?? ipFamilies.map((f) => parsePrefix(SERVICE_RANGES[f])),
    ...(given.serviceNodePortRange === undefined
      ? {}
      : { serviceNodePortRange: given.serviceNodePortRange }),
    ipFamilies,
    proxyMode: given.proxyMode ?? "iptables",
    clusterDomain: given.clusterDomain ?? "cluster.local",
    ...(given.clusterDns === undefined ? {} : { clusterDns: given.clusterDns }),
  };
  check(config);
  return config;
}

/** Families that the given ranges have, where nobody says which to use. */
function familiesOf({
  clusterCidrs,
  serviceCidrs,
}: Partial<ClusterConfig>): IpFamily[] | undefined {
  const ranges = clusterCidrs ?? serviceCidrs;
  return ranges === undefined ? undefined : [...new Set(ranges.map((r) => r.family))];
}

function check(config: ClusterConfig): void {
  if (config.ipFamilies.length === 0) {
    throw new InputError("name at least one IP family: ipv4, ipv6 or ipv4,ipv6", "--ip-families");
  }
  checkRanges(config, config.clusterCidrs, "--cluster-cidr");
  checkRanges(config, config.serviceCidrs, "--service-cluster-ip-range");
  for (const range of config.serviceCidrs) {
    if (range.length <= LONGEST_SERVICE_RANGE[range.family]) continue;
    throw new InputError(
      `${range} has no room for Services; choose a range of /${LONGEST_SERVICE_RANGE[range.family]} or larger`,
      "--service-cluster-ip-range",
    );
  }
  for (const range of config.clusterCidrs) {
    if (config.allocateNodeCidrs !== false) checkNodeRanges(config, range);
    for (const service of config.serviceCidrs) {
      if (!service.overlaps(range)) continue;
      throw new InputError(
        `pod range ${range} overlaps Service range ${service}; choose two ranges without a common address`,
        config.allocateNodeCidrs === false ? "the CNI's range" : "--cluster-cidr",
      );
    }
  }
}

function checkNodeRanges(config: ClusterConfig, range: Prefix): void {
  const length = config.nodeCidrMaskSize[range.family];
  const most = range.family === 4 ? 30 : 126;
  if (!Number.isInteger(length) || length < range.length || length > most) {
    throw new InputError(
      `a node's range of /${length} does not fit into ${range}; choose ${range.length} to ${most}`,
      "--node-cidr-mask-size",
    );
  }
  // The controller manager's limit, for its bitmap of node ranges.
  if (length - range.length > 16) {
    throw new InputError(
      `${range} has 2^${length - range.length} node ranges of /${length}, and 2^16 is the most; choose a smaller --node-cidr-mask-size`,
      "--cluster-cidr",
    );
  }
}

function checkRanges(config: ClusterConfig, ranges: readonly Prefix[], flag: string): void {
  for (const family of config.ipFamilies) {
    const count = ranges.filter((r) => r.family === family).length;
    if (count === 1) continue;
    throw new InputError(
      count === 0
        ? `no IPv${family} range is given, but the cluster uses IPv${family}; add one, separated by a comma`
        : `${count} IPv${family} ranges are given; give one`,
      flag,
    );
  }
  for (const range of ranges) {
    if (config.ipFamilies.includes(range.family)) continue;
    throw new InputError(
      `${range} is IPv${range.family}, which the cluster does not use; leave it out or add it to --ip-families`,
      flag,
    );
  }
}
