import { ALL_ZEROS_MAC, Bridge, type NetDevice, type NetNamespace, Vxlan } from "@cnilab/linux";
import { formatIp, formatMac, ipv6, type Mac, multicastMac } from "@cnilab/net";
import type { JsonObject, JsonValue } from "../json.ts";

/** One line of `bridge fdb show`. */
interface FdbLine {
  readonly mac: Mac;
  readonly dev: string;
  readonly dst: string | undefined;
  readonly via: string | undefined;
  /** In the device's own table, rather than in that of the bridge it belongs to. */
  readonly self: boolean;
  readonly master: string | undefined;
  readonly state: "" | "static" | "permanent";
}

/** `bridge fdb show` (iproute2 6.1). */
export function fdbText(netns: NetNamespace): string {
  return fdbLines(netns)
    .map((line) => {
      const dst = line.dst === undefined ? "" : ` dst ${line.dst}`;
      const via = line.via === undefined ? "" : ` via ${line.via}`;
      const self = line.self ? " self" : "";
      const master = line.master === undefined ? "" : ` master ${line.master}`;
      return `${formatMac(line.mac)} dev ${line.dev}${dst}${via}${self}${master} ${line.state}\n`;
    })
    .join("");
}

/** `bridge -j fdb show`. */
export function fdbJson(netns: NetNamespace): JsonObject[] {
  return fdbLines(netns).map((line) => {
    const json: { [key: string]: JsonValue } = { mac: formatMac(line.mac), ifname: line.dev };
    if (line.dst !== undefined) json["dst"] = line.dst;
    if (line.via !== undefined) json["viaIf"] = line.via;
    json["flags"] = line.self ? ["self"] : [];
    if (line.master !== undefined) json["master"] = line.master;
    json["state"] = line.state;
    return json;
  });
}

/** Device after device, as the kernel dumps them. */
function fdbLines(netns: NetNamespace): FdbLine[] {
  return netns.devices.flatMap((dev) => {
    if (dev instanceof Vxlan) return vxlanLines(dev);
    const own = dev.isEthernet && !dev.isLoopback ? multicastLines(dev) : [];
    if (dev instanceof Bridge) return [...own, ...bridgeLines(dev, dev)];
    return dev.master === undefined ? own : [...bridgeLines(dev.master, dev), ...own];
  });
}

/** What a bridge knows of one of its ports, or of itself. */
function bridgeLines(bridge: Bridge, dev: NetDevice): FdbLine[] {
  const lines: FdbLine[] = [];
  for (const entry of bridge.fdb.entries()) {
    if ((entry.port?.dev ?? bridge) !== dev) continue;
    lines.push({
      mac: entry.mac,
      dev: dev.name,
      dst: undefined,
      via: undefined,
      self: false,
      master: bridge.name,
      state: entry.local ? "permanent" : entry.isStatic ? "static" : "",
    });
  }
  return lines;
}

function vxlanLines(dev: Vxlan): FdbLine[] {
  const lines: FdbLine[] = [];
  for (const entry of dev.fdbEntries()) {
    for (const remote of entry.remotes) {
      const isDefault = entry.mac === ALL_ZEROS_MAC && remote === dev.remote;
      lines.push({
        mac: entry.mac,
        dev: dev.name,
        dst: formatIp(remote),
        via: isDefault ? dev.link?.name : undefined,
        self: true,
        master: undefined,
        state: entry.permanent ? "permanent" : "",
      });
    }
  }
  return lines;
}

const ALL_HOSTS = 0xe0000001;
const ALL_SNOOPERS = 0xe000006a;
const ALL_NODES = ipv6(0xff020000, 0, 0, 1);
const ALL_ROUTERS = ipv6(0xff020000, 0, 0, 2);
const ALL_MLD_SNOOPERS = ipv6(0xff020000, 0, 0, 0x6a);
/** Of ff02::1:ff00:0/104, whose last 24 bits are an address's. */
const SOLICITED_NODE_MAC: Mac = 0x3333ff000000;

/** The groups that a device listens to, as `ndo_dflt_fdb_dump` lists its multicast filter. */
function multicastLines(dev: NetDevice): FdbLine[] {
  const macs = new Set<Mac>([multicastMac(ALL_NODES)]);
  if (dev.conf6.forwarding !== 0 && dev.flags.includes("MULTICAST")) {
    macs.add(multicastMac(ALL_ROUTERS));
  }
  if (dev.up) {
    if (dev instanceof Bridge) {
      macs.add(multicastMac(ALL_SNOOPERS));
      macs.add(multicastMac(ALL_MLD_SNOOPERS));
    }
    macs.add(multicastMac(ALL_HOSTS));
    for (const { address } of dev.addresses) {
      if (typeof address !== "number") macs.add(SOLICITED_NODE_MAC + (address.d & 0xffffff));
    }
  }
  for (const group of dev.groups ?? []) macs.add(multicastMac(group));
  return [...macs].map((mac) => ({
    mac,
    dev: dev.name,
    dst: undefined,
    via: undefined,
    self: true,
    master: undefined,
    state: "permanent",
  }));
}
