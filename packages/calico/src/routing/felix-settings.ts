import type { ApiClient } from "@cnilab/core";
import type { RouteProtocol } from "@cnilab/linux";
import type { ProgramClusterRoutes } from "../api/v3/bgp-configuration.ts";
import type { FelixConfigurationSpec } from "../api/v3/felix-configuration.ts";
import { allocateMarkBits } from "../rules/mark-bits.ts";

/** What of Felix's configuration bears on routes and tunnels (`felix/config/config_params.go`). */
export interface RoutingSettings {
  readonly interfacePrefix: string;
  readonly mtuIfacePattern: string;
  /** 0 is what the node's interfaces leave. */
  readonly ipipMtu: number;
  readonly vxlanMtu: number;
  readonly vxlanMtuV6: number;
  readonly wireguardMtu: number;
  readonly wireguardMtuV6: number;
  readonly vxlanPort: number;
  readonly vxlanVni: number;
  /** Whether there are tunnels whatever the pools say. */
  readonly ipipEnabled: boolean | undefined;
  readonly vxlanEnabled: boolean | undefined;
  readonly programClusterRoutes: ProgramClusterRoutes;
  readonly deviceRouteProtocol: number;
  readonly normalRoutePriority: Readonly<Record<4 | 6, number>>;
  readonly wireguard: Readonly<Record<4 | 6, WireguardSettings>>;
  readonly wireguardHostEncryption: boolean;
  readonly wireguardRoutingRulePriority: number;
  /** Seconds after which Felix looks at routes and devices again; 0 is never. */
  readonly routeRefreshInterval: number;
  /** What WireGuard's own packets bear; 0 without it. */
  readonly wireguardMark: number;
  /** Numbers of the routing tables for what WireGuard carries, taken whether it is on or not. */
  readonly wireguardTable: Readonly<Record<4 | 6, number>>;
}

export interface WireguardSettings {
  readonly enabled: boolean;
  readonly interfaceName: string;
  readonly listeningPort: number;
  /** Seconds; 0 is off. */
  readonly keepAlive: number;
}

/** The objects that count for a node, the weakest first: the cluster's, then the node's own. */
export function felixSpecs(api: ApiClient, node: string): FelixConfigurationSpec[] {
  const all = api.list("FelixConfiguration.projectcalico.org");
  const named = (name: string) => all.find((c) => c.metadata.name === name)?.spec;
  return [named("default"), named(`node.${node}`)].filter((spec) => spec !== undefined);
}

/**
 * @param specs the weakest first
 * @param environment what the DaemonSet sets, which is stronger than any object
 */
export function routingSettings(
  specs: readonly FelixConfigurationSpec[],
  environment: FelixConfigurationSpec = {},
): RoutingSettings {
  const c: FelixConfigurationSpec = Object.assign({}, ...specs, environment);
  const keepAlive = seconds(c.wireguardKeepAlive);
  const firstTable = c.routeTableRanges?.[0]?.min ?? c.routeTableRange?.min ?? 1;
  return {
    interfacePrefix: c.interfacePrefix ?? "cali",
    mtuIfacePattern: c.mtuIfacePattern ?? "^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)",
    ipipMtu: c.ipipMTU ?? 0,
    vxlanMtu: c.vxlanMTU ?? 0,
    vxlanMtuV6: c.vxlanMTUV6 ?? 0,
    wireguardMtu: c.wireguardMTU ?? 0,
    wireguardMtuV6: c.wireguardMTUV6 ?? 0,
    vxlanPort: c.vxlanPort ?? 4789,
    vxlanVni: c.vxlanVNI ?? 4096,
    ipipEnabled: c.ipipEnabled,
    vxlanEnabled: c.vxlanEnabled,
    programClusterRoutes: c.programClusterRoutes ?? "EnabledIPIPOnly",
    deviceRouteProtocol: c.deviceRouteProtocol ?? 3,
    normalRoutePriority: {
      4: c.ipv4NormalRoutePriority ?? 1024,
      6: c.ipv6NormalRoutePriority ?? 1024,
    },
    wireguard: {
      4: {
        enabled: c.wireguardEnabled ?? false,
        interfaceName: c.wireguardInterfaceName ?? "wireguard.cali",
        listeningPort: c.wireguardListeningPort ?? 51820,
        keepAlive,
      },
      6: {
        enabled: c.wireguardEnabledV6 ?? false,
        interfaceName: c.wireguardInterfaceNameV6 ?? "wg-v6.cali",
        listeningPort: c.wireguardListeningPortV6 ?? 51821,
        keepAlive,
      },
    },
    wireguardHostEncryption: c.wireguardHostEncryptionEnabled ?? false,
    wireguardRoutingRulePriority: c.wireguardRoutingRulePriority ?? 99,
    routeRefreshInterval: seconds(c.routeRefreshInterval ?? "90s"),
    wireguardMark:
      c.wireguardEnabled === true || c.wireguardEnabledV6 === true
        ? allocateMarkBits(c.iptablesMarkMask ?? 0xffff0000, { wireguard: true, ipvs: false })
            .wireguard
        : 0,
    wireguardTable: { 4: firstTable, 6: firstTable + 1 },
  };
}

/** `1m30s`. */
function seconds(duration: string | undefined): number {
  let sum = 0;
  const units: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600 };
  for (const [, amount, unit] of (duration ?? "").matchAll(/([0-9.]+)(ms|s|m|h)/g)) {
    sum += Number(amount) * (units[unit as string] as number);
  }
  return Math.round(sum);
}

/** Whether Felix routes to other nodes' blocks of IPIP pools; BIRD does otherwise. */
export function programsIpip({ programClusterRoutes: p }: RoutingSettings): boolean {
  return p === "Enabled" || p === "EnabledIPIPOnly";
}

/** As {@link programsIpip}, of pools without encapsulation. */
export function programsNoEncap({ programClusterRoutes: p }: RoutingSettings): boolean {
  return p === "Enabled" || p === "EnabledNoEncapOnly";
}

/** Of routes to pods and into tunnels (`deviceRouteProtocol`). */
export function deviceRouteProtocol({ deviceRouteProtocol: p }: RoutingSettings): RouteProtocol {
  return p === RTPROT_BOOT ? "boot" : p;
}

/** What marks Felix's routes where the default could be anybody's (`calculateRouteProtocol`). */
export function clusterRouteProtocol({ deviceRouteProtocol }: RoutingSettings): number {
  return deviceRouteProtocol === RTPROT_BOOT ? DEFAULT_ROUTE_PROTOCOL : deviceRouteProtocol;
}

const RTPROT_BOOT = 3;
/** `felix/dataplane/linux/dataplanedefs` DefaultRouteProto. */
const DEFAULT_ROUTE_PROTOCOL = 80;
