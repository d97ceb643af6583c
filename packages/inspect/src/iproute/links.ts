import {
  Bridge,
  GENEVE_OVERHEAD,
  Geneve,
  IpTunnel,
  Loopback,
  Macvlan,
  type NetDevice,
  type NetNamespace,
  OvsInternalDevice,
  Tun,
  Veth,
  Vxlan,
  vportOf,
  Wireguard,
} from "@cnilab/linux";
import { BROADCAST_MAC, familyOf, formatIp, formatMac } from "@cnilab/net";
import type { JsonObject, JsonValue } from "../json.ts";
import { fieldsJson, fieldsText } from "./field.ts";
import { bridgePortFields, kindFields } from "./link-details.ts";

export interface LinkOptions {
  /** As `ip -d`; true unless said otherwise. */
  readonly details?: boolean;
}

/** `ip [-d] link show` (iproute2 6.1). */
export function linksText(netns: NetNamespace, { details = true }: LinkOptions = {}): string {
  return netns.devices.map((dev) => `${linkText(dev, details)}\n`).join("");
}

/** `ip -j [-d] link show`. */
export function linksJson(netns: NetNamespace, { details = true }: LinkOptions = {}): JsonObject[] {
  return netns.devices.map((dev) => ({
    ...linkHeadJson(dev, true),
    ...(details ? linkDetailsJson(dev) : {}),
  }));
}

function linkText(dev: NetDevice, details: boolean): string {
  const head = linkHeadText(dev, true);
  if (!details) return head;
  const { promiscuity, allmulti, min, max } = linkCounts(dev);
  const kind = dev.kind === "" ? "" : `\n    ${dev.kind} ${fieldsText(kindFields(dev))}`;
  const slave =
    dev.bridgePort !== undefined
      ? `\n    bridge_slave ${fieldsText(bridgePortFields(dev.bridgePort))}`
      : vportOf(dev) !== undefined
        ? "\n    openvswitch_slave "
        : "";
  const tail = TAIL_FIELDS.map((key) => `${TAIL_NAMES[key] ?? key} ${tailValue(dev, key)} `).join(
    "",
  );
  return `${head} promiscuity ${promiscuity}  allmulti ${allmulti} minmtu ${min} maxmtu ${max} ${kind}${slave}${tail}`;
}

/** Both lines that `ip link` and `ip addr` share. */
export function linkHeadText(dev: NetDevice, mode: boolean): string {
  const owner = masterOf(dev);
  const master = owner === undefined ? "" : ` master ${owner.name}`;
  const words = [
    `${dev.ifindex}: ${dev.name}${lowerSuffix(dev)}:`,
    `<${linkFlags(dev).join(",")}>`,
    `mtu ${dev.mtu} qdisc ${qdiscOf(dev)}${master} state ${operationalState(dev)}`,
    ...(mode ? ["mode DEFAULT"] : []),
    `group default qlen ${queueLength(dev)}`,
  ];
  const { type, address, broadcast } = linkAddresses(dev);
  const peer = dev instanceof IpTunnel && dev.remote !== 0;
  const addresses =
    address === undefined ? " " : ` ${address} ${peer ? "peer" : "brd"} ${broadcast}`;
  const there = lowerOf(dev);
  let where = "";
  if (there !== undefined && there.netns !== dev.netns) {
    const id = namespaceId(dev.netns, there.netns);
    where = there.netns.name === "" ? ` link-netnsid ${id}` : ` link-netns ${there.netns.name}`;
  }
  return `${words.join(" ")}\n    link/${type}${addresses}${where}`;
}

/** The bridge that a device is a port of, or the local device of its datapath. */
function masterOf(dev: NetDevice): NetDevice | undefined {
  return dev.master ?? vportOf(dev)?.datapath.local.dev;
}

/** The keys that `ip -j link` and `ip -j addr` share. */
export function linkHeadJson(dev: NetDevice, mode: boolean): { [key: string]: JsonValue } {
  const there = lowerOf(dev);
  const far = there !== undefined && there.netns !== dev.netns;
  const { type, address, broadcast } = linkAddresses(dev);
  return {
    ifindex: dev.ifindex,
    ...(far ? { link_index: there.ifindex } : {}),
    ...(there !== undefined && !far ? { link: there.name } : {}),
    ...(there === undefined && hasLowerOnly(dev) ? { link: null } : {}),
    ifname: dev.name,
    flags: linkFlags(dev),
    mtu: dev.mtu,
    qdisc: qdiscOf(dev),
    ...(masterOf(dev) === undefined ? {} : { master: masterOf(dev)?.name as string }),
    operstate: operationalState(dev),
    ...(mode ? { linkmode: "DEFAULT" } : {}),
    group: "default",
    txqlen: queueLength(dev),
    link_type: type,
    ...(address === undefined ? {} : { address }),
    ...(dev instanceof IpTunnel && dev.remote !== 0 ? { link_pointtopoint: true } : {}),
    ...(broadcast === undefined ? {} : { broadcast }),
    ...(far ? { link_netnsid: namespaceId(dev.netns, there.netns) } : {}),
  };
}

function linkDetailsJson(dev: NetDevice): { [key: string]: JsonValue } {
  const { promiscuity, allmulti, min, max } = linkCounts(dev);
  const info: { [key: string]: JsonValue } = {};
  if (dev.kind !== "") {
    info["info_kind"] = dev.kind;
    const data = fieldsJson(kindFields(dev));
    if (Object.keys(data).length > 0) info["info_data"] = data;
  }
  if (dev.bridgePort !== undefined) {
    info["info_slave_kind"] = "bridge";
    info["info_slave_data"] = fieldsJson(bridgePortFields(dev.bridgePort));
  } else if (vportOf(dev) !== undefined) {
    info["info_slave_kind"] = "openvswitch";
  }
  const json: { [key: string]: JsonValue } = {
    promiscuity,
    allmulti,
    min_mtu: min,
    max_mtu: max,
    ...(Object.keys(info).length > 0 ? { linkinfo: info } : {}),
  };
  for (const key of TAIL_FIELDS) json[key] = tailValue(dev, key);
  return json;
}

/** What ends the line of every device with `-d`, by the keys of the JSON. */
const TAIL_FIELDS = [
  "inet6_addr_gen_mode",
  "num_tx_queues",
  "num_rx_queues",
  "gso_max_size",
  "gso_max_segs",
  "tso_max_size",
  "tso_max_segs",
  "gro_max_size",
] as const;
type TailField = (typeof TAIL_FIELDS)[number];
const TAIL_NAMES: Partial<Record<TailField, string>> = {
  inet6_addr_gen_mode: "addrgenmode",
  num_tx_queues: "numtxqueues",
  num_rx_queues: "numrxqueues",
};

/** Defaults of net/core/dev.c; a machine of the model has one processor, so veths have one queue. */
function tailValue(dev: NetDevice, key: TailField): string | number {
  switch (key) {
    case "inet6_addr_gen_mode":
      return addressGeneration(dev);
    case "num_tx_queues":
    case "num_rx_queues":
      return 1;
    case "gso_max_segs":
    case "tso_max_segs":
      return 65535;
    case "tso_max_size":
      // A bridge takes what its ports can do.
      return dev instanceof Tun ||
        dev instanceof Geneve ||
        dev instanceof OvsInternalDevice ||
        (dev instanceof Vxlan && dev.external && dev.link === undefined) ||
        (dev instanceof Bridge && dev.ports.length === 0)
        ? 65536
        : 524280;
    default:
      return 65536;
  }
}

const GENERATION_MODES = ["eui64", "none", "stable_secret", "random"] as const;

function addressGeneration(dev: NetDevice): string {
  // wg_open turns it off; net/ipv6/addrconf.c chooses random where there is no MAC to start from.
  if (dev instanceof Wireguard && dev.up) return "none";
  if (dev instanceof Tun && dev.up && dev.carrier) return "random";
  return GENERATION_MODES[dev.conf6.addr_gen_mode] ?? "eui64";
}

function linkCounts(dev: NetDevice): {
  readonly promiscuity: number;
  readonly allmulti: number;
  readonly min: number;
  readonly max: number;
} {
  const range = MTU_RANGES[dev.kind === "" ? (dev instanceof Loopback ? "lo" : "") : dev.kind];
  const [min, most] = range ?? [68, 65535];
  // geneve_configure takes its headers off.
  const max = dev instanceof Geneve ? 65535 - GENEVE_OVERHEAD[familyOf(dev.remote)] : most;
  // br_add_if asks its ports for all multicast, as well as for promiscuous mode.
  const allmulti = (dev.bridgePort === undefined ? 0 : 1) + (dev.allMulticast ? 1 : 0);
  return { promiscuity: dev.promiscuity, allmulti, min, max };
}

/** `min_mtu` and `max_mtu` where they are not 68 and 65535. */
const MTU_RANGES: Readonly<Record<string, readonly [number, number]>> = {
  lo: [0, 0],
  dummy: [0, 0],
  ifb: [0, 0],
  ipip: [0, 0],
  sit: [1280, 65555],
  wireguard: [0, 2147483552],
  "": [68, 65535],
};

/** In the order of iproute2's print_link_flags. */
const FLAG_ORDER = [
  "NO-CARRIER",
  "LOOPBACK",
  "BROADCAST",
  "POINTOPOINT",
  "MULTICAST",
  "NOARP",
  "ALLMULTI",
  "PROMISC",
  "UP",
  "LOWER_UP",
  "M-DOWN",
];

function linkFlags(dev: NetDevice): string[] {
  const flags = new Set(dev.flags);
  if (dev.up) flags.add(hasCarrier(dev) ? "LOWER_UP" : "NO-CARRIER");
  const lower = lowerOf(dev);
  if (lower !== undefined && lower.netns === dev.netns && !lower.up) flags.add("M-DOWN");
  return FLAG_ORDER.filter((name) => flags.has(name));
}

/** A macvlan has the carrier of the device below it (`netif_stacked_transfer_operstate`). */
function hasCarrier(dev: NetDevice): boolean {
  if (dev instanceof Macvlan) return dev.lower.up && hasCarrier(dev.lower);
  return dev.carrier;
}

/**
 * `IFLA_OPERSTATE` (RFC 2863, net/core/link_watch.c). A device whose driver never spoke of its carrier
 * stays UNKNOWN.
 */
function operationalState(dev: NetDevice): string {
  if (!dev.up) return "DOWN";
  if (!hasCarrier(dev)) {
    return dev instanceof Veth || dev instanceof Macvlan ? "LOWERLAYERDOWN" : "DOWN";
  }
  const spoke =
    dev instanceof Veth ||
    (dev instanceof Bridge && dev.ports.length > 0) ||
    dev instanceof Macvlan ||
    (dev.kind === "" && !(dev instanceof Loopback));
  return spoke ? "UP" : "UNKNOWN";
}

/** The root queueing discipline by its name. */
export function qdiscOf(dev: NetDevice): string {
  if (dev.tc?.root !== undefined) return dev.tc.root.kind;
  if (!dev.up) return "noop";
  // Hardware and tun devices have a queue; the rest is IFF_NO_QUEUE.
  const queued =
    dev instanceof Tun || dev.kind === "ifb" || (dev.kind === "" && !(dev instanceof Loopback));
  return queued ? "pfifo_fast" : "noqueue";
}

function queueLength(dev: NetDevice): number {
  // Drivers of these two set their own; 1000 is everybody else's.
  if (dev.txQueueLength !== 1000) return dev.txQueueLength;
  if (dev instanceof Tun) return 500;
  return dev.kind === "ifb" ? 32 : 1000;
}

interface LinkAddresses {
  readonly type: string;
  readonly address: string | undefined;
  readonly broadcast: string | undefined;
}

function linkAddresses(dev: NetDevice): LinkAddresses {
  if (dev instanceof Loopback) {
    return { type: "loopback", address: formatMac(0), broadcast: formatMac(0) };
  }
  if (dev.isEthernet) {
    return { type: "ether", address: formatMac(dev.mac), broadcast: formatMac(BROADCAST_MAC) };
  }
  if (dev instanceof IpTunnel) {
    return { type: dev.kind, address: formatIp(dev.local), broadcast: formatIp(dev.remote) };
  }
  return { type: "none", address: undefined, broadcast: undefined };
}

/** The device that `@` names: the other end of a veth, or the one below. */
function lowerOf(dev: NetDevice): NetDevice | undefined {
  if (dev instanceof Veth) return dev.peer;
  if (dev instanceof Macvlan) return dev.lower;
  if (dev instanceof IpTunnel) return dev.link;
  return undefined;
}

/** Kinds that print `@NONE` where nothing is below them. */
function hasLowerOnly(dev: NetDevice): boolean {
  return dev instanceof IpTunnel;
}

function lowerSuffix(dev: NetDevice): string {
  const lower = lowerOf(dev);
  if (lower === undefined) return hasLowerOnly(dev) ? "@NONE" : "";
  return lower.netns === dev.netns ? `@${lower.name}` : `@if${lower.ifindex}`;
}

/** Numbers that a namespace gives to others, in the order in which its devices lead there. */
function namespaceId(netns: NetNamespace, other: NetNamespace): number {
  const seen: NetNamespace[] = [];
  for (const dev of netns.devices) {
    const there = lowerOf(dev)?.netns;
    if (there === undefined || there === netns || seen.includes(there)) continue;
    if (there === other) return seen.length;
    seen.push(there);
  }
  return seen.length;
}
