import type { ApiClient, ClusterConfig, Service } from "@cnilab/core";
import { addToIp, type IpAddress, tryParseIp } from "@cnilab/net";

/** The Service that pods ask, as kubeadm names it. */
const DNS_SERVICE = "kube-system/kube-dns";
/** What other installers give their Service that takes its place. */
const DNS_APP = "kube-dns";
const DNS_PORT = 53;
/** kubeadm gives it the tenth address of the range (cmd/kubeadm/app/constants GetDNSIP). */
const DNS_INDEX = 10;

/**
 * Whom pods ask for names: what the kubelet is told, or else the address of the cluster's DNS Service, there already or yet to
 * come.
 */
export function clusterDnsAddresses(api: ApiClient, config: ClusterConfig): readonly IpAddress[] {
  if (config.clusterDns !== undefined) return config.clusterDns;
  const service = api.get("Service", DNS_SERVICE) ?? otherDnsService(api);
  const given = (service?.spec.clusterIPs ?? []).flatMap((ip) => tryParseIp(ip) ?? []);
  return given.length > 0 ? given : tenthAddress(config);
}

function otherDnsService(api: ApiClient): Service | undefined {
  return api
    .list("Service", "kube-system")
    .find(
      ({ metadata, spec }) =>
        metadata.labels?.["k8s-app"] === DNS_APP &&
        spec.clusterIP !== "None" &&
        (spec.ports ?? []).some(({ port }) => port === DNS_PORT),
    );
}

function tenthAddress({ serviceCidrs }: ClusterConfig): readonly IpAddress[] {
  const [range] = serviceCidrs;
  if (range === undefined) return [];
  const address = addToIp(range.address, DNS_INDEX);
  return range.contains(address) ? [address] : [];
}
