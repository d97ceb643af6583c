import type { NetNamespace } from "@cnilab/linux";
import type { JsonObject } from "./json.ts";

/** Ends of the names that Kubernetes networks depend on. */
const TELLING = [
  "/ip_forward",
  "/forwarding",
  "/rp_filter",
  "/proxy_arp",
  "/proxy_ndp",
  "/arp_ignore",
  "/arp_announce",
  "/accept_ra",
  "/disable_ipv6",
  "/route_localnet",
  "/src_valid_mark",
  "/bridge-nf-call-iptables",
  "/bridge-nf-call-ip6tables",
  "/nf_conntrack_max",
  "/nf_conntrack_tcp_be_liberal",
  "/ip_local_port_range",
  "/tcp_mtu_probing",
  "/fib_multipath_hash_policy",
];

/** `sysctl -a -r '^net\.'` of the values that matter to a pod's packets, or of all that are modelled. */
export function sysctlsText(netns: NetNamespace, all = false): string {
  return listed(netns, all)
    .map(([path, value]) => `${path} = ${value}\n`)
    .join("");
}

/** The same by name. */
export function sysctlsJson(netns: NetNamespace, all = false): JsonObject {
  return Object.fromEntries(listed(netns, all));
}

function listed(netns: NetNamespace, all: boolean): [string, string][] {
  return netns.sysctl
    .entries()
    .filter(([path]) => all || TELLING.some((end) => path.endsWith(end)))
    .map(([path, value]) => [dotted(path), value]);
}

/** Slashes become dots, and dots inside a device's name slashes, as sysctl(8) writes them. */
function dotted(path: string): string {
  return path.replace(/[./]/g, (c) => (c === "/" ? "." : "/"));
}
