import type { Clock } from "@cnilab/core";
import type { IpVsDest, IpVsService, Ipvs } from "@cnilab/linux";
import { type IpFamily, tryParsePrefix } from "@cnilab/net";
import type { ProxyEndpoint } from "../endpoint.ts";
import { GracefulTermination } from "./graceful-termination.ts";
import type { VirtualServer } from "./port-program.ts";

/** The weight of every endpoint. */
const WEIGHT = 1;

/** Brings virtual servers and their real servers of one family to the kernel. */
export class VirtualServers {
  readonly #family: IpFamily;
  readonly #ipvs: Ipvs;
  readonly #graceful: GracefulTermination;
  /** Ranges of addresses whose virtual servers are somebody else's (`excludeCIDRs`). */
  readonly #excluded: readonly string[];
  /** How many service ports want each. */
  readonly #wanted = new Map<IpVsService, number>();

  constructor(family: IpFamily, ipvs: Ipvs, clock: Clock, excluded: readonly string[]) {
    this.#family = family;
    this.#ipvs = ipvs;
    this.#graceful = new GracefulTermination(ipvs, clock);
    this.#excluded = excluded;
  }

  /** Makes one, or changes it where it is there already (`syncService`, `syncEndpoint`). */
  sync(server: VirtualServer): void {
    const { settings, proxied } = server;
    let service = this.#ipvs.findService(server);
    if (service === undefined) {
      service = this.#ipvs.addService(server, settings, proxied.origin);
    } else if (
      service.scheduler.name !== settings.scheduler ||
      service.flags !== settings.flags ||
      service.timeout !== settings.timeout
    ) {
      this.#ipvs.editService(service, settings);
    }
    this.#wanted.set(service, (this.#wanted.get(service) ?? 0) + 1);
    this.#syncEndpoints(service, server.endpoints);
  }

  /** A service port does not want one any more. */
  release(server: VirtualServer): void {
    const service = this.#ipvs.findService(server);
    if (service === undefined) return;
    const count = (this.#wanted.get(service) ?? 0) - 1;
    if (count > 0) this.#wanted.set(service, count);
    else this.#wanted.delete(service);
  }

  /** Deletes those of the family that no service port wants, whoever made them (`cleanLegacyService`). */
  deleteUnwanted(): void {
    for (const service of [...this.#ipvs.services()]) {
      if (service.family !== this.#family || this.#wanted.has(service)) continue;
      if (this.#isExcluded(service)) continue;
      this.#ipvs.deleteService(service);
    }
  }

  #isExcluded({ address }: IpVsService): boolean {
    return this.#excluded.some((range) => tryParsePrefix(range)?.contains(address) === true);
  }

  #syncEndpoints(service: IpVsService, endpoints: readonly ProxyEndpoint[]): void {
    const before = new Set<IpVsDest>(service.destinations);
    const kept = new Set<IpVsDest>();
    for (const { address, port } of endpoints) {
      const dest = service.findDest(address, port);
      if (dest !== undefined && !this.#graceful.isEnding(dest)) {
        kept.add(dest);
        continue;
      }
      if (dest !== undefined) this.#graceful.giveUp(service, dest);
      kept.add(this.#ipvs.addDest(service, { address, port, weight: WEIGHT }));
    }
    for (const dest of before) {
      if (kept.has(dest) || this.#graceful.isEnding(dest) || !dest.available) continue;
      this.#graceful.end(service, dest);
    }
  }
}
