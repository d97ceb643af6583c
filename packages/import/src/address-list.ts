import type { AddressOptions, NetDevice, NetNamespace, RouteScope } from "@cnilab/linux";
import { familyOf, formatIp, type IpAddress, type IpFamily } from "@cnilab/net";
import type { Fields } from "./fields.ts";
import { SCOPES } from "./kernel-names.ts";
import { kernelSays } from "./kernel-says.ts";
import type { SavedNamespace } from "./saved-namespace.ts";
import type { Unmodelled } from "./unmodelled.ts";

/** An address as `ip -d -j address` tells of it. */
export interface SavedAddress {
  readonly dev: string;
  readonly address: IpAddress;
  readonly prefixLength: number;
  readonly options: AddressOptions;
  /** Address of the other end of a point-to-point link. */
  readonly peer: IpAddress | undefined;
  /** Somebody else on the link has it: the kernel does not use it. */
  readonly duplicate: boolean;
  readonly fields: Fields;
}

export const ADDRESSES = "addrs.json";

/** @throws InputError */
export function readAddresses({ files }: SavedNamespace): SavedAddress[] {
  return files.objects(ADDRESSES).flatMap((link) => {
    const dev = link.string("ifname");
    return link
      .objects("addr_info")
      .filter((info) => !info.isEmpty && info.has("local"))
      .map((info) => readAddress(info, dev));
  });
}

function readAddress(info: Fields, dev: string): SavedAddress {
  const family: IpFamily = info.string("family") === "inet" ? 4 : 6;
  const address = info.addressOf("local", family);
  const prefixLength = info.number("prefixlen");
  if (prefixLength > (family === 4 ? 32 : 128)) throw info.error("prefixlen", "is too long");
  const broadcast = family === 4 ? info.addressOr("broadcast") : undefined;
  const label = info.stringOr("label", undefined);
  const scope = info.named("scope", SCOPES) as RouteScope | undefined;
  return {
    dev,
    address,
    prefixLength,
    peer: info.addressOr("address"),
    duplicate: info.flag("dadfailed"),
    options: {
      ...(scope === undefined ? {} : { scope }),
      ...(broadcast === undefined ? {} : { broadcast }),
      ...(label === undefined ? {} : { label }),
      noPrefixRoute: info.flag("noprefixroute"),
      nodad: info.flag("nodad"),
    },
    fields: info,
  };
}

/**
 * Gives devices that are up their addresses, in the order in which they were listed, in place of those
 * that the kernel gave them. @throws InputError
 */
export function addAddresses(
  netns: NetNamespace,
  saved: SavedNamespace,
  addresses: readonly SavedAddress[],
  unmodelled: Unmodelled,
): void {
  if (!saved.files.has(ADDRESSES)) return;
  const usable = addresses.filter((a) => !a.duplicate);
  for (const { dev, address, peer, duplicate } of addresses) {
    const which = `${formatIp(address)} on ${dev}`;
    if (duplicate) unmodelled.note(saved.node, "addresses that are duplicates, left out", which);
    else if (peer !== undefined) unmodelled.note(saved.node, "peers of addresses", which);
  }
  for (const dev of netns.devices) {
    for (const family of [4, 6] as const) {
      const wanted = usable.filter((a) => a.dev === dev.name && familyOf(a.address) === family);
      if (isSame(dev, family, wanted)) continue;
      for (const { address, prefixLength } of dev.addressesOf(family).toReversed()) {
        if (dev.hasAddress(address)) dev.removeAddress(address, prefixLength);
      }
      // An IPv6 address goes before those of its scope that are there.
      const inOrder = family === 4 ? wanted : wanted.toReversed();
      for (const { address, prefixLength, options, fields } of inOrder) {
        kernelSays(fields.file, fields.path, () => dev.addAddress(address, prefixLength, options));
      }
    }
  }
}

function isSame(dev: NetDevice, family: IpFamily, wanted: readonly SavedAddress[]): boolean {
  const there = dev.addressesOf(family);
  return (
    there.length === wanted.length &&
    there.every((a, i) => {
      const w = wanted[i] as SavedAddress;
      return (
        a.address === w.address &&
        a.prefixLength === w.prefixLength &&
        a.scope === (w.options.scope ?? a.scope) &&
        a.noPrefixRoute === w.options.noPrefixRoute
      );
    })
  );
}
