import type { Neighbour, NetNamespace } from "@cnilab/linux";
import { formatIp, formatMac, type IpFamily } from "@cnilab/net";
import type { JsonObject, JsonValue } from "../json.ts";

export interface NeighbourOptions {
  /** Both families unless one is asked for, IPv4 first. */
  readonly family?: IpFamily;
}

/** `ip neigh show` (iproute2 6.1): entries that need no ARP, and those without a state, are left out. */
export function neighboursText(netns: NetNamespace, options: NeighbourOptions = {}): string {
  return listed(netns, options)
    .map((n) => {
      const mac = n.valid ? ` lladdr ${formatMac(n.mac)}` : "";
      const flags = neighbourFlags(n).map((f) => ` ${f}`);
      return `${formatIp(n.ip)} dev ${n.dev.name}${mac}${flags.join("")} ${n.state} \n`;
    })
    .join("");
}

/** `ip -j neigh show`. */
export function neighboursJson(netns: NetNamespace, options: NeighbourOptions = {}): JsonObject[] {
  return listed(netns, options).map((n) => {
    const json: { [key: string]: JsonValue } = { dst: formatIp(n.ip), dev: n.dev.name };
    if (n.valid) json["lladdr"] = formatMac(n.mac);
    for (const flag of neighbourFlags(n)) json[flag] = null;
    json["state"] = [n.state];
    return json;
  });
}

function listed(netns: NetNamespace, { family }: NeighbourOptions): Neighbour[] {
  const families: IpFamily[] = family === undefined ? [4, 6] : [family];
  const all = netns.devices.flatMap((dev) => [...(dev.neighbours?.entries() ?? [])]);
  return families.flatMap((f) =>
    all.filter(
      (n) => n.state !== "NONE" && n.state !== "NOARP" && (typeof n.ip === "number" ? 4 : 6) === f,
    ),
  );
}

function neighbourFlags(n: Neighbour): string[] {
  return [...(n.router ? ["router"] : []), ...(n.externLearn ? ["extern_learn"] : [])];
}
