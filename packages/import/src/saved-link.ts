import { InputError } from "@cnilab/core";
import type { Mac } from "@cnilab/net";
import type { Fields } from "./fields.ts";
import type { NamespaceFiles } from "./saved-files.ts";

/** A device as `ip -d -j link` tells of it. */
export interface SavedLink {
  readonly ifindex: number;
  readonly name: string;
  readonly mtu: number;
  readonly mac: Mac | undefined;
  readonly flags: ReadonlySet<string>;
  readonly txQueueLength: number;
  /** Name of the bridge, bond or other device that it belongs to. */
  readonly master: string | undefined;
  /** `undefined` for hardware and `lo`. */
  readonly kind: string | undefined;
  readonly data: Fields | undefined;
  readonly slaveKind: string | undefined;
  readonly slaveData: Fields | undefined;
  /** The device below it or at its other end, by name where that is in the same namespace. */
  readonly link: string | undefined;
  readonly linkIndex: number | undefined;
  /** Number that this namespace has for the one of the other end; -1 where it has none. */
  readonly linkNetnsid: number | undefined;
  readonly hasXdp: boolean;
  readonly fields: Fields;
}

export const LINKS = "links.json";

/** All devices of a namespace, by index. @throws InputError */
export function readLinks(files: NamespaceFiles): SavedLink[] {
  const links = files.objects(LINKS).map(readLink);
  links.sort((x, y) => x.ifindex - y.ifindex);
  links.forEach((link, i) => {
    if (links[i - 1]?.ifindex === link.ifindex) {
      throw new InputError(`two devices have index ${link.ifindex}`, files.path(LINKS));
    }
    if (links.some((other) => other !== link && other.name === link.name)) {
      throw new InputError(`two devices are named ${link.name}`, files.path(LINKS));
    }
  });
  return links;
}

function readLink(fields: Fields): SavedLink {
  const info = fields.object("linkinfo");
  const name = fields.string("ifname");
  const ifindex = fields.number("ifindex");
  if (ifindex === 0 || ifindex > 0x7fffffff) {
    throw fields.error("ifindex", "must be from 1 to 2147483647");
  }
  return {
    ifindex,
    name,
    mtu: fields.numberOr("mtu", 1500),
    mac: hasMac(fields) ? fields.macOr("address") : undefined,
    flags: new Set(fields.strings("flags")),
    txQueueLength: fields.numberOr("txqlen", 1000),
    master: fields.stringOr("master", undefined),
    kind: info?.stringOr("info_kind", undefined),
    data: info?.object("info_data"),
    slaveKind: info?.stringOr("info_slave_kind", undefined),
    slaveData: info?.object("info_slave_data"),
    link: fields.stringOr("link", undefined),
    linkIndex: fields.numberOr("link_index", undefined),
    linkNetnsid: fields.numberOrNone("link_netnsid", undefined),
    hasXdp: fields.has("xdp"),
    fields,
  };
}

/** Tunnels of IP packets have an IP address in that place. */
function hasMac(fields: Fields): boolean {
  return fields.stringOr("link_type", "ether") === "ether";
}
