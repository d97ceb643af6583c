import {
  type DeviceAddress,
  type NetDevice,
  type NetNamespace,
  type RouteScope,
  RT_SCOPE_LINK,
} from "@cnilab/linux";
import { familyOf, formatIp } from "@cnilab/net";
import type { JsonObject, JsonValue } from "../json.ts";
import { linkHeadJson, linkHeadText } from "./links.ts";

/** `ip addr show` (iproute2 6.1). */
export function addrsText(netns: NetNamespace): string {
  return netns.devices.map((dev) => `${linkHeadText(dev, false)}\n${addressLines(dev)}`).join("");
}

/** `ip -j addr show`. */
export function addrsJson(netns: NetNamespace): JsonObject[] {
  return netns.devices.map((dev) => ({
    ...linkHeadJson(dev, false),
    addr_info: listed(dev).map(addressJson),
  }));
}

/** IPv4 first; IPv6 with wider scope before narrower (net/ipv6/addrconf.c `ipv6_link_dev_addr`). */
function listed(dev: NetDevice): DeviceAddress[] {
  const v6 = [...dev.addressesOf(6)].sort((x, y) => x.scope - y.scope);
  return [...dev.addressesOf(4), ...v6];
}

function addressLines(dev: NetDevice): string {
  return listed(dev)
    .map((a) => {
      const family = familyOf(a.address) === 4 ? "inet" : "inet6";
      const broadcast = a.broadcast === undefined ? "" : ` brd ${formatIp(a.broadcast)}`;
      const flags = addressFlags(a).map((f) => `${f} `);
      const text = `    ${family} ${formatIp(a.address)}/${a.prefixLength}${broadcast}`;
      const scope = `scope ${scopeName(a.scope)} ${flags.join("")}${a.label ?? ""}`;
      return `${text} ${scope}\n       valid_lft forever preferred_lft forever\n`;
    })
    .join("");
}

/** Lifetimes that never end. */
const FOREVER = 0xffffffff;

function addressJson(a: DeviceAddress): JsonObject {
  const json: { [key: string]: JsonValue } = {
    family: familyOf(a.address) === 4 ? "inet" : "inet6",
    local: formatIp(a.address),
    prefixlen: a.prefixLength,
  };
  if (a.broadcast !== undefined) json["broadcast"] = formatIp(a.broadcast);
  json["scope"] = scopeName(a.scope);
  for (const name of addressFlags(a)) json[name] = true;
  if (a.label !== undefined) json["label"] = a.label;
  json["valid_life_time"] = FOREVER;
  json["preferred_life_time"] = FOREVER;
  return json;
}

/** In the order of iproute2's ifa_flag_names. */
function addressFlags(a: DeviceAddress): string[] {
  return [
    ...(a.secondary ? ["secondary"] : []),
    ...(a.nodad ? ["nodad"] : []),
    ...(a.noPrefixRoute ? ["noprefixroute"] : []),
  ];
}

/** Names of /etc/iproute2/rt_scopes. */
export function scopeName(scope: RouteScope): string {
  switch (scope) {
    case 0:
      return "global";
    case RT_SCOPE_LINK:
      return "link";
    case 254:
      return "host";
    case 255:
      return "nowhere";
    default:
      return "site";
  }
}
