import type { ApiClient, ClusterConfig, HostFiles, Pod } from "@cnilab/core";
import { formatResolvConf, parseResolvConf, podResolvConf } from "@cnilab/dns";
import { formatIp, type IpAddress } from "@cnilab/net";
import { clusterDnsAddresses } from "../dns/cluster-dns.ts";

export const RESOLV_CONF = "/etc/resolv.conf";
export const HOSTS = "/etc/hosts";

/** What a kubelet knows of its surroundings. */
export interface PodFilesContext {
  readonly api: ApiClient;
  readonly config: ClusterConfig;
  /** The node's. */
  readonly files: HostFiles;
}

/** A file that the kubelet writes for all containers of a pod; `undefined` for others. */
export function podFile(pod: Pod, path: string, around: PodFilesContext): string | undefined {
  switch (path) {
    case RESOLV_CONF:
      return resolvConfOf(pod, around);
    case HOSTS:
      return hostsOf(pod, around);
    case "/etc/hostname":
      return `${hostnameOf(pod)}\n`;
    default:
      return undefined;
  }
}

function resolvConfOf(pod: Pod, { api, config, files }: PodFilesContext): string {
  const { conf } = podResolvConf({
    pod,
    node: parseResolvConf(files.read(RESOLV_CONF) ?? ""),
    clusterDns: clusterDnsAddresses(api, config),
    clusterDomain: config.clusterDomain,
  });
  return formatResolvConf(conf);
}

/** RFC 1123: a label has 63 characters at most; what is cut off may leave a dash or dot at the end (kubelet truncatePodHostnameIfNeeded). */
function hostnameOf({ metadata, spec }: Pod): string {
  return spec.hostname ?? metadata.name.slice(0, 63).replace(/[-.]+$/, "");
}

/** kubelet pkg/kubelet/kubelet_pods.go ensureHostsFile. */
function hostsOf(pod: Pod, { config, files }: PodFilesContext): string {
  const { spec } = pod;
  if (spec.hostNetwork === true) {
    const own = files.read(HOSTS) ?? "";
    return `# Kubernetes-managed hosts file (host network).\n${own}${aliases(pod)}`;
  }
  const hostname = hostnameOf(pod);
  const domain =
    spec.subdomain === undefined
      ? undefined
      : `${hostname}.${spec.subdomain}.${pod.metadata.namespace}.svc.${config.clusterDomain}`;
  const names = domain === undefined ? hostname : `${domain}\t${hostname}`;
  const own = (pod.status?.podIPs ?? []).map(({ ip }) => `${ip}\t${names}\n`).join("");
  return `# Kubernetes-managed hosts file.\n${LOCAL}${own}${aliases(pod)}`;
}

const LOCAL = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::0\tip6-localnet",
  "fe00::0\tip6-mcastprefix",
  "fe00::1\tip6-allnodes",
  "fe00::2\tip6-allrouters",
]
  .map((line) => `${line}\n`)
  .join("");

/** A node's own. */
export function nodeHosts(name: string, addresses: readonly IpAddress[]): string {
  return `${LOCAL}${addresses.map((a) => `${formatIp(a)}\t${name}\n`).join("")}`;
}

function aliases({ spec }: Pod): string {
  const lines = (spec.hostAliases ?? []).map(
    ({ ip, hostnames = [] }) => `${[ip, ...hostnames].join("\t")}\n`,
  );
  return lines.length === 0 ? "" : `\n# Entries added by HostAliases.\n${lines.join("")}`;
}
