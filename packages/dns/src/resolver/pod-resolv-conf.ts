import type { Pod } from "@cnilab/core";
import { formatIp, type IpAddress, tryParseIp } from "@cnilab/net";
import type { ResolvConf, ResolvConfOption } from "./resolv-conf.ts";

/** The most of each that a pod's file may have (kubernetes pkg/apis/core/validation, since v1.28). */
const MAX_NAMESERVERS = 3;
const MAX_SEARCHES = 32;
const MAX_SEARCH_CHARACTERS = 2048;
/** What a name that is meant for the cluster looks like: fewer dots than this. */
const CLUSTER_OPTIONS: readonly ResolvConfOption[] = [{ name: "ndots", value: "5" }];

export interface PodDnsOptions {
  readonly pod: Pod;
  /** The node's own file, the kubelet's `--resolv-conf`. */
  readonly node: ResolvConf;
  /** The kubelet's `--cluster-dns`. */
  readonly clusterDns: readonly IpAddress[];
  /** The kubelet's `--cluster-domain`, as `cluster.local`. */
  readonly clusterDomain: string;
}

export interface PodDns {
  readonly conf: ResolvConf;
  /** What the kubelet says in Events of the pod. */
  readonly warnings: readonly { readonly reason: string; readonly message: string }[];
}

/** The resolv.conf that the kubelet gives a pod (kubernetes pkg/kubelet/network/dns/dns.go GetPodDNS). */
export function podResolvConf({ pod, node, clusterDns, clusterDomain }: PodDnsOptions): PodDns {
  const { spec, metadata } = pod;
  const warnings: PodDns["warnings"][number][] = [];
  const host: ResolvConf = { ...node, search: node.search.map(withoutDot) };
  let conf: ResolvConf;
  let policy = policyOf(pod);
  if (policy === "ClusterFirst" && clusterDns.length === 0) {
    const wanted = spec.dnsPolicy ?? "ClusterFirst";
    warnings.push({
      reason: "MissingClusterDNS",
      message: `pod: "${metadata.name}_${metadata.namespace}(${metadata.uid ?? ""})". kubelet does not have ClusterDNS IP configured and cannot create Pod using "${wanted}" policy. Falling back to "Default" policy.`,
    });
    policy = "Default";
  }
  if (policy === "None") conf = { nameservers: [], search: [], options: [] };
  else if (policy === "Default") conf = host;
  else {
    const service = `svc.${clusterDomain}`;
    const own =
      clusterDomain === "" ? [] : [`${metadata.namespace}.${service}`, service, clusterDomain];
    conf = {
      nameservers: clusterDns,
      search: unique([...own, ...host.search]),
      options: CLUSTER_OPTIONS,
    };
  }
  conf = withDnsConfig(conf, pod);
  return { conf: fitting(conf, warnings), warnings };
}

/** Pods on the node's network have the node's file, unless they say that they want the cluster's all the same. */
function policyOf({ spec }: Pod): "None" | "Default" | "ClusterFirst" {
  const { dnsPolicy = "ClusterFirst", hostNetwork = false } = spec;
  if (dnsPolicy === "None") return "None";
  if (dnsPolicy === "ClusterFirstWithHostNet") return "ClusterFirst";
  return dnsPolicy === "ClusterFirst" && !hostNetwork ? "ClusterFirst" : "Default";
}

function withDnsConfig(conf: ResolvConf, { spec }: Pod): ResolvConf {
  const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {};
  const added = nameservers.map(tryParseIp).filter((address) => address !== undefined);
  const merged = new Map(conf.options.map((option) => [option.name, option]));
  for (const { name, value } of options) {
    merged.set(name, value === undefined || value === "" ? { name } : { name, value });
  }
  return {
    nameservers: unique([...conf.nameservers, ...added]),
    search: unique([...conf.search, ...searches]),
    options: [...merged.values()],
  };
}

function fitting(conf: ResolvConf, warnings: { reason: string; message: string }[]): ResolvConf {
  const nameservers = conf.nameservers.slice(0, MAX_NAMESERVERS);
  if (nameservers.length < conf.nameservers.length) {
    const line = nameservers.map(formatIp).join(" ");
    warnings.push({
      reason: "DNSConfigForming",
      message: `Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: ${line}`,
    });
  }
  let search = conf.search.slice(0, MAX_SEARCHES);
  while (search.join(" ").length > MAX_SEARCH_CHARACTERS) search = search.slice(0, -1);
  if (search.length < conf.search.length) {
    warnings.push({
      reason: "DNSConfigForming",
      message: `Search Line limits were exceeded, some search paths have been omitted, the applied search line is: ${search.join(" ")}`,
    });
  }
  return { nameservers, search, options: conf.options };
}

function withoutDot(name: string): string {
  return name === "." ? name : name.replace(/\.$/, "");
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
