import { Geneve, KernelError, type NetDevice, type NetNamespace, Veth, Vxlan } from "@cnilab/linux";
import { addressBits, familyOf, type IpAddress } from "@cnilab/net";
import type { NodeAllocation } from "../ipam/cilium-ipam.ts";
import { type RouteMtu, routeMtu } from "../mtu.ts";
import { DEVICE } from "../names/devices.ts";
import type { AgentConfig } from "../options/agent-config.ts";
import { ensureWireguard } from "../wireguard/wireguard-device.ts";
import type { CiliumAgent } from "./cilium-agent.ts";
import { selectDevices } from "./device-detection.ts";

/** Devices of a node that the agent makes or takes into service, and how long packets on them may be. */
export interface BaseDevices {
  readonly host: Veth;
  readonly net: Veth;
  /** cilium_vxlan or cilium_geneve; `undefined` with native routing. */
  readonly tunnel: Vxlan | Geneve | undefined;
  /** The node's own. */
  readonly native: readonly NetDevice[];
  readonly mtu: RouteMtu;
}

/**
 * What the agent does to devices at each start (pkg/datapath/loader/base.go Reinitialize, netlink.go). What a former run has made stays,
 * unless it no longer fits. @throws KernelError
 */
export function setUpBaseDevices(agent: CiliumAgent, allocation: NodeAllocation): BaseDevices {
  const { kernel, config } = agent;
  const netns = kernel.initNs;
  const native = selectDevices(netns, config.devices);
  if (native.length === 0) {
    const named = config.devices.length > 0 ? ` named ${config.devices.join(", ")}` : "";
    throw new KernelError(
      "ENODEV",
      `unable to determine direct routing device: no device${named} found`,
    );
  }
  const mtu = nodeMtu(native, config);
  baseSysctls(netns, config);
  const [host, net] = ensureHostPair(netns, config);
  for (const dev of [host, net]) {
    dev.setArp(false);
    if (dev.mtu !== mtu.device) dev.setMtu(mtu.device);
    dev.setUp();
  }
  const tunnel = ensureTunnel(netns, config, mtu.device);
  ensureWireguard(agent, mtu.device);
  for (const address of allocation.router) ensureAddress(host, address);
  removeOldRouters(host, allocation.router);
  return { host, net, tunnel, native, mtu };
}

/** The least of the node's devices, unless somebody says otherwise (pkg/mtu/manager.go). */
export function nodeMtu(native: readonly NetDevice[], config: AgentConfig): RouteMtu {
  const base = config.mtu === 0 ? Math.min(...native.map(({ mtu }) => mtu)) : config.mtu;
  return routeMtu(base, {
    encapsulation: config.routing.mode === "tunnel",
    tunnelOverIpv6: config.routing.underlay === 6,
    wireguard: config.wireguard !== undefined,
  });
}

function baseSysctls({ sysctl }: NetNamespace, { families }: AgentConfig): void {
  sysctl.set("net.ipv4.conf.all.rp_filter", 0);
  sysctl.set("net.ipv4.fib_multipath_use_neigh", 1);
  if (families.includes(6)) sysctl.set("net.ipv6.conf.all.disable_ipv6", 0);
}

function ensureHostPair(netns: NetNamespace, config: AgentConfig): readonly [Veth, Veth] {
  const there = netns.findDevice(DEVICE.host);
  const pair =
    there instanceof Veth && there.peer !== undefined
      ? ([there, there.peer] as const)
      : Veth.pair(netns, { name: DEVICE.host }, netns, { name: DEVICE.net });
  for (const dev of pair) enableForwarding(netns, dev.name, config);
  return pair;
}

/** pkg/datapath/loader/netlink.go enableForwarding */
export function enableForwarding(
  { sysctl }: NetNamespace,
  name: string,
  { families }: AgentConfig,
): void {
  if (families.includes(6)) sysctl.set(`net.ipv6.conf.${name}.forwarding`, 1);
  if (!families.includes(4)) return;
  sysctl.set(`net.ipv4.conf.${name}.forwarding`, 1);
  sysctl.set(`net.ipv4.conf.${name}.rp_filter`, 0);
  sysctl.set(`net.ipv4.conf.${name}.accept_local`, 1);
  sysctl.set(`net.ipv4.conf.${name}.send_redirects`, 0);
}

function ensureTunnel(
  netns: NetNamespace,
  config: AgentConfig,
  mtu: number,
): Vxlan | Geneve | undefined {
  const { mode, tunnelProtocol, tunnelPort: port } = config.routing;
  const wanted = mode === "tunnel" ? tunnelProtocol : undefined;
  for (const other of ["vxlan", "geneve"] as const) {
    if (other !== wanted) netns.findDevice(DEVICE[other])?.remove();
  }
  if (wanted === undefined) return undefined;
  const name = DEVICE[wanted];
  const there = netns.findDevice(name);
  let dev = there instanceof Vxlan || there instanceof Geneve ? there : undefined;
  if (dev !== undefined && dev.port !== port) {
    dev.remove();
    dev = undefined;
  }
  dev ??=
    wanted === "vxlan"
      ? new Vxlan(netns, { name, vni: 0, port, external: true })
      : new Geneve(netns, { name, vni: 0, remote: 0, port, external: true });
  enableForwarding(netns, name, config);
  if (dev.mtu !== mtu) dev.setMtu(mtu);
  dev.setUp();
  return dev;
}

function ensureAddress(dev: NetDevice, address: IpAddress): void {
  const family = familyOf(address);
  if (dev.hasAddress(address)) return;
  dev.addAddress(address, addressBits(family));
}

/** A former run may have had another address (daemon/cmd/daemon.go removeOldRouterState). */
function removeOldRouters(host: NetDevice, router: readonly IpAddress[]): void {
  for (const family of [4, 6] as const) {
    for (const { address, prefixLength } of [...host.addressesOf(family)]) {
      const isOwn = prefixLength === addressBits(family);
      if (isOwn && !router.includes(address)) host.removeAddress(address, prefixLength);
    }
  }
}
