import { Bridge, type NetDevice, type NetNamespace, Vxlan } from "@cnilab/linux";
import { isGroupMac } from "@cnilab/net";
import type { Fields } from "./fields.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

/** What an entry of a vxlan device may say beyond its address. */
const OVERRIDES = ["port", "vni", "src_vni", "viaIf"];

/** `bridge -d -j fdb show`: entries of bridges, and tunnel endpoints. @throws InputError */
export function addForwardingEntries(
  netns: NetNamespace,
  saved: SavedNamespace,
  unmodelled: Unmodelled,
): void {
  for (const fields of saved.files.objects("fdb.json")) {
    const dev = netns.findDevice(fields.string("ifname"));
    if (dev === undefined) continue;
    if (dev instanceof Vxlan && fields.has("dst")) {
      addEndpoint(dev, fields, saved.node, unmodelled);
    } else if (fields.has("master")) {
      addBridgeEntry(dev, fields);
    }
  }
}

/** Entries that were learnt come again with traffic. */
function addEndpoint(dev: Vxlan, fields: Fields, node: string, unmodelled: Unmodelled): void {
  const state = fields.stringOr("state", "");
  if (state !== "permanent" && state !== "static") return;
  const mac = fields.macOr("mac") ?? 0;
  const override = OVERRIDES.find(
    (name) => fields.has(name) && fields.stringOrNumber(name) !== dev.link?.name,
  );
  if (override !== undefined) {
    const kind = `forwarding entries with a ${override} of their own, left out`;
    unmodelled.note(node, kind, `${fields.string("mac")} on ${dev.name}`);
    return;
  }
  const remote = fields.address("dst");
  if (!dev.ownFdbEntries.get(mac)?.remotes.includes(remote)) dev.addFdb(mac, remote);
}

function addBridgeEntry(dev: NetDevice, fields: Fields): void {
  const mac = fields.macOr("mac");
  const bridge = dev instanceof Bridge ? dev : dev.master;
  // With VLANs an entry is listed once for each, and once without.
  if (mac === undefined || bridge === undefined || isGroupMac(mac) || fields.has("vlan")) return;
  const port = dev instanceof Bridge ? undefined : dev.bridgePort;
  switch (fields.stringOr("state", "")) {
    case "permanent":
      if (mac !== dev.mac && bridge.fdb.find(mac)?.local !== true) bridge.fdb.add(mac, port, true);
      break;
    case "static":
      bridge.fdb.add(mac, port, false);
      break;
    case "":
      if (port !== undefined) bridge.fdb.learn(mac, port);
      break;
    default: // "stale": it has aged
  }
}
