import type { NetDevice } from "@cnilab/linux";
import {
  familyOf,
  type IpAddress,
  type IpFamily,
  type Ipv4Address,
  type Ipv6Address,
  type Prefix,
  parseIp,
} from "@cnilab/net";
import {
  DEFAULT_CT_TIMEOUTS,
  type LoadBalancerConfig,
  type NodeConfig,
} from "../datapath/node-config.ts";
import type { NodeAllocation } from "../ipam/cilium-ipam.ts";
import type { AgentConfig } from "../options/agent-config.ts";
import { WIREGUARD_PORT } from "../wireguard/wireguard-device.ts";
import type { CiliumAgent } from "./cilium-agent.ts";
import { primaryAddress } from "./device-detection.ts";
import type { BaseDevices } from "./node-devices.ts";

/** `service-loopback-ipv4-address`, `service_loopback_ipv6` (pkg/defaults). */
const SERVICE_LOOPBACK_IPV4 = parseIp("169.254.42.1") as Ipv4Address;
const SERVICE_LOOPBACK_IPV6 = parseIp("fe80::1") as Ipv6Address;
/** TCP's SYN, FIN and RST, whose first sight is told of (`monitor-aggregation-flags: all`). */
const ALL_TCP_FLAGS = 0xff;

/** What the programs of a node are compiled with (pkg/datapath/linux/config). */
export function nodeConfig(
  agent: CiliumAgent,
  allocation: NodeAllocation,
  devices: BaseDevices,
  hostEndpointId: number,
): NodeConfig {
  const { config, node } = agent;
  const { routing, services, masquerade, families } = config;
  const { native, host, net, tunnel } = devices;
  const own = node.addresses;
  const direct = directRoutingDevice(agent, devices);
  const wireguard = config.wireguard;
  return {
    nodeName: node.name,
    enableIpv4: families.includes(4),
    enableIpv6: families.includes(6),
    tunnelMode: routing.mode === "tunnel",
    encapIfindex: tunnel?.ifindex ?? 0,
    tunnelProtocol: routing.tunnelProtocol,
    tunnelPort: routing.tunnelPort,
    mtu: devices.mtu.device,
    routerIpv4: allocation.router.find(isIpv4),
    routerIpv6: allocation.router.find(isIpv6),
    nodeIpv4: own.filter(isIpv4),
    nodeIpv6: own.filter(isIpv6),
    directRoutingIpv4: ofFamily(direct, 4) as Ipv4Address | undefined,
    directRoutingIpv6: ofFamily(direct, 6) as Ipv6Address | undefined,
    directRoutingIfindex: direct?.ifindex ?? 0,
    masqueradeIpv4: new Map(sourcesOf(native, 4).map(([i, a]) => [i, a as Ipv4Address])),
    masqueradeIpv6: new Map(sourcesOf(native, 6).map(([i, a]) => [i, a as Ipv6Address])),
    bpfMasqueradeIpv4: masquerade.bpf && masquerade.ipv4,
    bpfMasqueradeIpv6: masquerade.bpf && masquerade.ipv6,
    snatExclusionIpv4: snatExclusion(config, allocation, 4),
    snatExclusionIpv6: snatExclusion(config, allocation, 6),
    ipMasqAgent: masquerade.nonMasqueradeCidrs !== undefined,
    serviceLoopbackIpv4: SERVICE_LOOPBACK_IPV4,
    serviceLoopbackIpv6: SERVICE_LOOPBACK_IPV6,
    ciliumHostIfindex: host.ifindex,
    ciliumHostMac: host.mac,
    ciliumNetIfindex: net.ifindex,
    ciliumNetMac: net.mac,
    devices: native.map(({ ifindex, mac, isEthernet }) => ({ ifindex, mac, isL3: !isEthernet })),
    hostEndpointId,
    lb: loadBalancer(config),
    ct: DEFAULT_CT_TIMEOUTS,
    conntrackAccounting: false,
    policyAccounting: true,
    hostRouting: services.nodePort && !routing.hostLegacy,
    endpointRoutes: routing.endpointRoutes,
    hostFirewall: config.policy.hostFirewall,
    identityMark: true,
    policyAuditMode: config.policy.audit,
    // Of the nodes' own devices always (pkg/datapath/loader/loader.go netdevRewrites).
    secctxFromIpcache: true,
    allowIcmpFragNeeded: true,
    icmpRules: true,
    fragmentsTracking: true,
    sctp: config.sctp,
    monitorAggregation:
      config.monitorAggregation === "maximum" ? "medium" : config.monitorAggregation,
    reportFlags: ALL_TCP_FLAGS,
    policyVerdictNotify: true,
    traceNotify: true,
    dropNotify: true,
    wireguardIfindex: node.machine.initNs.findDevice("cilium_wg0")?.ifindex ?? 0,
    wireguardPort: WIREGUARD_PORT,
    nodeEncryption: wireguard?.nodeEncryption ?? false,
    encryptionStrict: wireguard?.strict && {
      cidr: wireguard.strict.cidr,
      allowRemoteNodeIdentities: wireguard.strict.allowRemoteNodes,
    },
  };
}

function loadBalancer({ services, sctp }: AgentConfig): LoadBalancerConfig {
  const socket = !services.socketLb ? "off" : services.socketLbHostOnly ? "host-only" : "full";
  return {
    nodePort: services.nodePort,
    nodePortMin: services.nodePortRange.first,
    nodePortMax: services.nodePortRange.last,
    mode: services.mode,
    modeAnnotation: services.modeAnnotation,
    dsrDispatch: services.dsrDispatch,
    dsrIcmpErrors: services.pmtuDiscovery,
    bindProtection: services.bindProtection,
    algorithm: services.algorithm,
    algorithmAnnotation: services.algorithmAnnotation,
    maglevTableSize: services.maglev.tableSize,
    jhashSeed4: services.maglev.jhashSeed4,
    jhashSeed6: services.maglev.jhashSeed6,
    sessionAffinity: services.kubeProxyReplacement,
    sourceRangeCheck: services.nodePort && services.sourceRanges,
    // bpf/bpf_lxc.c: where sockets have translated already, programs of pods need not.
    perPacket: socket !== "full" || sctp,
    socket,
    noBackendResponse: services.noBackendResponse,
    protocolDifferentiation: true,
    l7: false,
    externalClusterIp: services.externalClusterIp,
  };
}

/** The node's device by which it talks to others: that of its own address, or the one that is named. */
export function directRoutingDevice(
  { config, node }: CiliumAgent,
  { native }: BaseDevices,
): NetDevice | undefined {
  const { directRoutingDevice: named } = config;
  if (named !== undefined) return native.find(({ name }) => name === named);
  return native.find((dev) => node.addresses.some((a) => dev.hasAddress(a))) ?? native[0];
}

function sourcesOf(
  native: readonly NetDevice[],
  family: IpFamily,
): (readonly [number, IpAddress])[] {
  return native.flatMap((dev) => {
    const address = primaryAddress(dev, family);
    return address === undefined ? [] : [[dev.ifindex, address] as const];
  });
}

/** pkg/datapath/types/config.go RemoteSNATDstAddrExclusionCIDRv4; ip-masq-agent does without the node's own range. */
export function snatExclusion(
  { routing, masquerade }: AgentConfig,
  { ranges }: NodeAllocation,
  family: IpFamily,
): Prefix | undefined {
  const given = routing.nativeCidr[family];
  if (given !== undefined || masquerade.nonMasqueradeCidrs !== undefined) return given;
  return ranges.find((range) => range.family === family);
}

function ofFamily(dev: NetDevice | undefined, family: IpFamily): IpAddress | undefined {
  return dev === undefined ? undefined : primaryAddress(dev, family);
}

function isIpv4(address: IpAddress): address is Ipv4Address {
  return familyOf(address) === 4;
}

function isIpv6(address: IpAddress): address is Ipv6Address {
  return familyOf(address) === 6;
}
