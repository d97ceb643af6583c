import type { NetDevice, NetNamespace } from "@cnilab/linux";
import { Prefix } from "@cnilab/net";
import { matchesPattern } from "./filter.ts";
import { DEFAULT_PREFERENCE, type RouteSender } from "./route.ts";
import type { RouteTable } from "./table.ts";

/** `protocol direct`: the networks that devices have an address on. */
export class DirectProtocol implements RouteSender {
  readonly name = "direct1";
  readonly source = "device";
  readonly #table: RouteTable;
  readonly #netns: NetNamespace;
  readonly #pathId: number;
  #patterns: readonly string[] = [];
  #known = new Map<string, { readonly prefix: Prefix; readonly dev: NetDevice }>();

  constructor(table: RouteTable, netns: NetNamespace, pathId: number) {
    this.#table = table;
    this.#netns = netns;
    this.#pathId = pathId;
  }

  /** @param patterns names of devices, `-` in front of those that are left out; the first that fits decides */
  start(patterns: readonly string[]): void {
    this.#patterns = patterns;
    this.scan();
  }

  /** Looks which networks there are now. */
  scan(): void {
    const found = new Map<string, { readonly prefix: Prefix; readonly dev: NetDevice }>();
    for (const dev of this.#netns.devices) {
      if (!dev.up || !dev.carrier || !this.#wants(dev.name)) continue;
      const addresses = this.#table.family === 4 ? dev.addresses4 : dev.addresses6;
      for (const { address, prefixLength } of addresses) {
        const prefix = new Prefix(address, prefixLength);
        if (isHostScope(prefix)) continue;
        found.set(String(prefix), { prefix, dev });
      }
    }
    for (const [key, { prefix }] of this.#known) {
      if (!found.has(key)) this.#table.withdraw(prefix, this, this.#pathId);
    }
    for (const [key, { prefix, dev }] of found) {
      if (this.#known.get(key)?.dev === dev) continue;
      this.#table.update({
        prefix,
        sender: this,
        preference: DEFAULT_PREFERENCE.device,
        pathId: this.#pathId,
        destination: { kind: "hops", hops: [{ dev, gateway: undefined }] },
        hostEntry: undefined,
        attributes: undefined,
        krtMetric: undefined,
        stale: false,
      });
    }
    this.#known = found;
  }

  #wants(name: string): boolean {
    for (const pattern of this.#patterns) {
      const isNegative = pattern.startsWith("-");
      if (matchesPattern(isNegative ? pattern.slice(1) : pattern, name)) return !isNegative;
    }
    return false;
  }
}

/** Networks of this machine or of one link alone: `dev_ifa_notify` passes over addresses of link scope and below. */
function isHostScope({ address }: Prefix): boolean {
  if (typeof address === "number") return address >>> 24 === 127 || address >>> 16 === 0xa9fe;
  return address.a >>> 22 === 0x3fa || (address.a | address.b | address.c) === 0;
}
