import type { CniCall, CniPlugin, CniResult } from "@cnilab/core";
import type { NetNamespace } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { failure } from "../failure.ts";
import { within } from "../iptables-rules.ts";
import { asVersion } from "../result-version.ts";
import { kernelOf } from "../sandbox-netns.ts";
import { hasNoMappings, loadPortmapConfig, type PortmapConfig } from "./portmap-config.ts";
import * as iptables from "./portmap-iptables.ts";
import * as nftables from "./portmap-nftables.ts";
import { deleteStaleConnections } from "./stale-connections.ts";

/** Makes ports of the node lead to a container (plugins/meta/portmap). */
export const portmap: CniPlugin = {
  type: "portmap",

  add(call: CniCall): CniResult {
    const { prevResult, cniVersion } = call.config;
    if (prevResult !== undefined && hasNoMappings(call)) return asVersion(prevResult, cniVersion);
    const config = load(call);
    if (prevResult === undefined) throw failure("must be called as chained plugin");
    const host = kernelOf(call).initNs;
    const { forwardPorts } = config.backend === "iptables" ? iptables : nftables;
    for (const ip of config.addresses) {
      forwardPorts(host, config, ip);
      deleteStaleConnections(host, config.entries, typeof ip.address === "number" ? 4 : 6);
      if (config.snat && typeof ip.address === "number") enableRouteLocalnet(host, ip.address);
    }
    return asVersion(prevResult, cniVersion);
  },

  del(call: CniCall): void {
    if (hasNoMappings(call)) return;
    const config = load(call);
    const { unforwardPorts } = config.backend === "iptables" ? iptables : nftables;
    unforwardPorts(kernelOf(call).initNs, config);
  },

  check(call: CniCall): void {
    const config = loadPortmapConfig(call);
    if (call.config.prevResult === undefined) throw failure("Required prevResult missing");
    const { checkPorts } = config.backend === "iptables" ? iptables : nftables;
    if (hasNoMappings(call)) return;
    for (const ip of config.addresses) checkPorts(kernelOf(call).initNs, config, ip);
  },
};

function load(call: CniCall): PortmapConfig {
  return within("failed to parse config", () => loadPortmapConfig(call));
}

/** Lets packets from 127.0.0.0/8 out by the device that leads to the container. */
function enableRouteLocalnet(host: NetNamespace, address: IpAddress): void {
  const route = host.routeGet({ dst: address });
  if (typeof route === "string" || route.dst.dev.conf4.route_localnet !== 0) return;
  host.sysctl.set(`net/ipv4/conf/${route.dst.dev.name}/route_localnet`, 1);
}
