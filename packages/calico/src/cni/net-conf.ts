import type { PluginConfig } from "@cnilab/core";
import { type Prefix, tryParsePrefix } from "@cnilab/net";
import { failure } from "./failure.ts";

/** What the plugin reads of its configuration (`cni-plugin/pkg/types/types.go` NetConf). */
export interface CalicoNetConf {
  readonly ipamType: string;
  /** 0 where nobody gave one. */
  readonly mtu: number;
  readonly nodename: string | undefined;
  /** Whether labels and annotations are Kubernetes'. */
  readonly policyType: string;
  readonly allowIpForwarding: boolean;
  readonly includeDefaultRoutes: boolean;
  readonly ipAddrsNoIpam: boolean;
  readonly floatingIps: boolean;
  /** Routes of host-local's configuration, which take the place of the default ones. */
  readonly routes: readonly Prefix[];
}

/** @throws CniError */
export function readNetConf(config: PluginConfig): CalicoNetConf {
  const object = (key: string) => (config[key] ?? {}) as Readonly<Record<string, unknown>>;
  const deviceType = config["device_type"] ?? "veth";
  if (deviceType !== "" && deviceType !== "veth" && deviceType !== "netkit") {
    throw failure(
      `unknown device_type "${deviceType}" in CNI config (supported: "veth", "netkit")`,
    );
  }
  const { ipam } = config;
  return {
    ipamType: ipam?.type ?? "",
    mtu: typeof config["mtu"] === "number" ? config["mtu"] : 0,
    nodename: typeof config["nodename"] === "string" ? config["nodename"] : undefined,
    policyType: String(object("policy")["type"] ?? ""),
    allowIpForwarding: object("container_settings")["allow_ip_forwarding"] === true,
    includeDefaultRoutes: config["include_default_routes"] === true,
    ipAddrsNoIpam: object("feature_control")["ip_addrs_no_ipam"] === true,
    floatingIps: object("feature_control")["floating_ips"] === true,
    routes: ipam?.type === "host-local" ? hostLocalRoutes(ipam["routes"]) : [],
  };
}

function hostLocalRoutes(routes: unknown): Prefix[] {
  if (routes === undefined || routes === null) return [];
  if (!Array.isArray(routes)) {
    throw failure("failed to parse host-local IPAM routes section; expecting list");
  }
  const prefixes: Prefix[] = [];
  for (const route of routes) {
    const { dst } = route as { dst?: unknown };
    if (dst === undefined) continue;
    const prefix = typeof dst === "string" ? tryParsePrefix(dst) : undefined;
    if (prefix === undefined) throw failure(`invalid CIDR address: ${String(dst)}`);
    prefixes.push(prefix);
  }
  return prefixes;
}
