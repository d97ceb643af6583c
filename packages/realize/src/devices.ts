import {
  ALL_ZEROS_MAC,
  Bridge,
  Dummy,
  Geneve,
  Ifb,
  IpTunnel,
  Loopback,
  Macvlan,
  type NetDevice,
  type NetNamespace,
  Nic,
  OvsInternalDevice,
  Tun,
  Veth,
  VXLAN_OVERHEAD,
  Vxlan,
  Wireguard,
} from "@cnilab/linux";
import { familyOf, formatIp, formatMac, isMulticast } from "@cnilab/net";
import { type NamespaceNames, namespacesOf } from "./namespace-names.ts";
import { type WireNames, wireMtu } from "./segments.ts";
import { UnrealizableError } from "./unrealizable-error.ts";

/**
 * The namespace in which a device is made. A tunnel that was moved leaves its own packets behind: where it
 * was made is where they go.
 */
export function birthplace(dev: NetDevice): NetNamespace {
  if (dev instanceof Macvlan) return dev.lower.netns;
  return dev instanceof Vxlan ||
    dev instanceof Geneve ||
    dev instanceof Wireguard ||
    dev instanceof IpTunnel
    ? dev.underlay
    : dev.netns;
}

/** `ip link …` that make one device, to be run in its {@link birthplace}; none where another device's line makes it. */
export function linkAdd(
  dev: NetDevice,
  names: NamespaceNames,
  wires: WireNames,
  made: ReadonlySet<NetDevice>,
): string[] {
  const lines = creation(dev, names, wires, made);
  // A macvlan's line says by itself where it goes, as its name may be taken here.
  if (birthplace(dev) !== dev.netns && !(dev instanceof Macvlan)) {
    lines.push(`link set dev ${dev.name} netns ${names.of(dev.netns)}`);
  }
  return lines;
}

function creation(
  dev: NetDevice,
  names: NamespaceNames,
  wires: WireNames,
  made: ReadonlySet<NetDevice>,
): string[] {
  if (dev instanceof Loopback) return [];
  const head = `link add name ${dev.name}`;
  // The kernel limits a bridge's MTU by nothing, yet follows its ports until it is set.
  const common = `address ${formatMac(dev.mac)} mtu ${mtuToMake(dev)}`;
  if (dev instanceof Nic) {
    const wire = wires.get(dev);
    return [
      `${head} ${common} type veth peer name ${wire} mtu ${wireMtu(dev.segment)} netns ${names.of(dev.segment)}`,
    ];
  }
  if (dev instanceof Veth) {
    const { peer } = dev;
    if (peer === undefined)
      throw new UnrealizableError(`${dev.netns}/${dev.name} has no other end`);
    if (made.has(peer)) return [];
    const other = `name ${peer.name} address ${formatMac(peer.mac)} mtu ${mtuToMake(peer)}`;
    return [`${head} ${common} type veth peer ${other} netns ${names.of(peer.netns)}`];
  }
  if (dev instanceof Bridge) return [`${head} ${common} type bridge`];
  // The machines that this runs on may lack dummy: a bridge without ports swallows packets as well.
  if (dev instanceof Dummy) return [`${head} ${common} type bridge`];
  if (dev instanceof Vxlan) return [`${head} ${common} type vxlan ${vxlanOptions(dev)}`];
  if (dev instanceof Geneve) return [`${head} ${common} type geneve ${geneveOptions(dev)}`];
  if (dev instanceof Wireguard) return [`${head} mtu ${dev.mtu} type wireguard`];
  if (dev instanceof Macvlan) {
    const there = dev.netns === dev.lower.netns ? "" : ` netns ${names.of(dev.netns)}`;
    return [`${head}${there} link ${dev.lower.name} ${common} type macvlan mode ${dev.mode}`];
  }
  if (dev instanceof IpTunnel) {
    const link = dev.link === undefined ? "" : ` dev ${dev.link.name}`;
    const end = (ip: number): string => (ip === 0 ? "any" : formatIp(ip));
    const ttl = dev.ttl === 0 ? "inherit" : dev.ttl;
    const pmtu = dev.pathMtuDiscovery ? "pmtudisc" : "nopmtudisc";
    const ends = `local ${end(dev.local)} remote ${end(dev.remote)}`;
    return [`${head} mtu ${dev.mtu} type ${dev.kind} ${ends} ttl ${ttl} ${pmtu}${link}`];
  }
  if (dev instanceof Ifb) return [`${head} ${common} type ifb`];
  if (dev instanceof Tun) {
    return [`tuntap add dev ${dev.name} mode tun`, `link set dev ${dev.name} mtu ${dev.mtu}`];
  }
  if (dev instanceof OvsInternalDevice) return []; // made with its datapath
  throw new UnrealizableError(`${dev.netns}/${dev.name}: ${dev.kind} devices are not realised`);
}

/** Whether it has the name and ends of what the module of its kind brings along (`ip_tunnel_init_net`, `sit_init_net`). */
export function isOfModule(dev: NetDevice): boolean {
  if (!(dev instanceof IpTunnel)) return false;
  const { kind, name, local, remote } = dev;
  return name === (kind === "ipip" ? "tunl0" : "sit0") && local === 0 && remote === 0;
}

/**
 * The MTU that a device is made with. A vxlan device is made no larger than its link allows (`vxlan_config_apply`), and
 * stays as it is when the link's MTU becomes smaller.
 */
function mtuToMake(dev: NetDevice): number {
  const above = namespacesOf(dev.netns.kernel)
    .flatMap((netns) => netns.devices)
    .filter((upper): upper is Vxlan => upper instanceof Vxlan && upper.link === dev);
  return Math.max(dev.mtu, ...above.map((vxlan) => vxlan.mtu + vxlanOverhead(vxlan)));
}

function vxlanOverhead({ remote, local }: Vxlan): number {
  const end = remote ?? local;
  return VXLAN_OVERHEAD[end === undefined ? 4 : familyOf(end)];
}

function vxlanOptions(dev: Vxlan): string {
  const words = [dev.external ? "external" : `id ${dev.vni}`, `dstport ${dev.port}`];
  if (dev.local !== undefined) words.push(`local ${formatIp(dev.local)}`);
  if (dev.remote !== undefined) {
    words.push(`${isMulticast(dev.remote) ? "group" : "remote"} ${formatIp(dev.remote)}`);
  }
  if (dev.link !== undefined) words.push(`dev ${dev.link.name}`);
  if (dev.ttl !== 0) words.push(`ttl ${dev.ttl}`);
  words.push(`ageing ${dev.ageing}`, dev.learning ? "learning" : "nolearning");
  if (dev.groupPolicy) words.push("gbp");
  words.push(dev.udpChecksum ? "udpcsum" : "noudpcsum");
  return words.join(" ");
}

function geneveOptions(dev: Geneve): string {
  const words = [`id ${dev.vni}`, `remote ${formatIp(dev.remote)}`, `dstport ${dev.port}`];
  if (dev.ttl !== 0) words.push(`ttl ${dev.ttl}`);
  if (typeof dev.remote === "number") words.push(dev.udpChecksum ? "udpcsum" : "noudpcsum");
  else words.push(dev.udpChecksum ? "noudp6zerocsumtx" : "udp6zerocsumtx");
  return words.join(" ");
}

/** `ip link set …` for what a device is once all are there. */
export function linkSet(dev: NetDevice): string[] {
  const lines: string[] = [];
  if (dev instanceof OvsInternalDevice) {
    lines.push(`link set dev ${dev.name} address ${formatMac(dev.mac)} mtu ${dev.mtu}`);
  }
  if (mtuToMake(dev) !== dev.mtu) lines.push(`link set dev ${dev.name} mtu ${dev.mtu}`);
  if (dev.master !== undefined) lines.push(`link set dev ${dev.name} master ${dev.master.name}`);
  if (dev.requestedPromiscuous) lines.push(`link set dev ${dev.name} promisc on`);
  if (dev.allMulticast) lines.push(`link set dev ${dev.name} allmulticast on`);
  if (dev.txQueueLength !== 1000) {
    lines.push(`link set dev ${dev.name} txqueuelen ${dev.txQueueLength}`);
  }
  return lines;
}

/**
 * `ip link set … mtu` of a bridge that does not follow its ports. Only a change counts as somebody's wish
 * (`br_change_mtu`), so the ports are there before.
 */
export function bridgeMtu(dev: NetDevice): string[] {
  if (!(dev instanceof Bridge) || dev.ports.length === 0) return [];
  const least = Math.min(...dev.ports.map((port) => port.dev.mtu));
  return dev.mtu === least ? [] : [`link set dev ${dev.name} mtu ${dev.mtu}`];
}

/** `bridge -batch` lines: flags of ports, and entries that somebody made. */
export function bridgeLines(netns: NetNamespace): string[] {
  const lines: string[] = [];
  for (const dev of netns.devices) {
    const port = dev.bridgePort;
    if (port !== undefined) {
      const flags: [string, boolean, boolean][] = [
        ["hairpin", port.hairpin, false],
        ["isolated", port.isolated, false],
        ["learning", port.learning, true],
        ["flood", port.flood, true],
        ["mcast_flood", port.mcastFlood, true],
        ["bcast_flood", port.bcastFlood, true],
      ];
      const set = flags.filter(([, is, usual]) => is !== usual);
      if (set.length > 0) {
        const words = set.map(([flag, is]) => `${flag} ${is ? "on" : "off"}`);
        lines.push(`link set dev ${dev.name} ${words.join(" ")}`);
      }
      for (const entry of port.bridge.fdb.entries()) {
        if (entry.port !== port || entry.local || !entry.isStatic) continue;
        lines.push(`fdb replace ${formatMac(entry.mac)} dev ${dev.name} master static`);
      }
    }
    if (dev instanceof Vxlan) lines.push(...vxlanFdb(dev));
  }
  return lines;
}

function vxlanFdb(dev: Vxlan): string[] {
  const lines: string[] = [];
  for (const { mac, remotes, permanent } of dev.fdbEntries()) {
    if (!permanent) continue;
    for (const [i, remote] of remotes.entries()) {
      if (mac === ALL_ZEROS_MAC && remote === dev.remote) continue;
      const how = i === 0 && mac !== ALL_ZEROS_MAC ? "replace" : "append";
      lines.push(
        `fdb ${how} ${formatMac(mac)} dev ${dev.name} dst ${formatIp(remote)} self permanent`,
      );
    }
  }
  return lines;
}
