import type { NetDevice, NetNamespace } from "@cnilab/linux";
import { isMulticast } from "@cnilab/net";
import type { SavedNamespace } from "./saved-namespace.ts";

/** States in which the kernel would send to the MAC that it knows (`NUD_VALID`). */
const LEARNT = ["REACHABLE", "STALE", "DELAY", "PROBE"];

/**
 * `ip -j neighbour`: entries by hand as they are, those that were learnt as stale ones: they are used,
 * and asked for again. `ip -j neighbour show proxy` beside it. @throws InputError
 */
export function addNeighbours(netns: NetNamespace, { files }: SavedNamespace): void {
  for (const fields of files.objects("neigh.json")) {
    const dev = netns.findDevice(fields.string("dev"));
    const address = fields.address("dst");
    const mac = fields.macOr("lladdr");
    const states = fields.strings("state");
    // The other end of a device without Ethernet has none.
    if (dev === undefined || mac === undefined || isMulticast(address)) continue;
    const isPermanent = states.includes("PERMANENT");
    if (!isPermanent && !states.some((state) => LEARNT.includes(state))) continue;
    const table = netns.neighboursOf(dev);
    table.replace(address, mac, isPermanent ? "PERMANENT" : "STALE");
    const neighbour = table.get(address);
    if (neighbour === undefined) continue;
    neighbour.externLearn = fields.has("extern_learn");
    neighbour.router = fields.has("router");
  }
  for (const fields of files.objects("neigh-proxy.json")) {
    const dev: NetDevice | undefined = netns.findDevice(fields.string("dev"));
    if (dev !== undefined) netns.neighboursOf(dev).addProxy(fields.address("dst"));
  }
}
