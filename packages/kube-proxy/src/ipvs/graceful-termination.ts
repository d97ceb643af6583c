import type { Clock } from "@cnilab/core";
import type { IpVsDest, IpVsService, Ipvs } from "@cnilab/linux";
import { IPPROTO_TCP } from "@cnilab/net";

/** Milliseconds between two looks at real servers that are to go (`rsCheckDeleteInterval`). */
const CHECK_INTERVAL = 60_000;

/**
 * Lets connections to endpoints that are gone end by themselves: a real server with TCP connections gets
 * weight 0, so that no new ones come, and is deleted once it has none left. Those of other protocols are
 * deleted at once, which ends their connections (pkg/proxy/ipvs/graceful_termination.go).
 */
export class GracefulTermination {
  readonly #ipvs: Ipvs;
  readonly #clock: Clock;
  /** When it began to look, every {@link CHECK_INTERVAL} since. */
  readonly #start: number;
  readonly #ending = new Map<IpVsDest, IpVsService>();
  #isWaiting = false;

  constructor(ipvs: Ipvs, clock: Clock) {
    this.#ipvs = ipvs;
    this.#clock = clock;
    this.#start = clock.now;
  }

  isEnding(dest: IpVsDest): boolean {
    return this.#ending.has(dest);
  }

  /** Deletes a real server, or lets it end. */
  end(service: IpVsService, dest: IpVsDest): void {
    if (this.#deleteIfIdle(service, dest)) return;
    this.#ipvs.editDest(service, { address: dest.address, port: dest.port, weight: 0 });
    this.#ending.set(dest, service);
    this.#waitForNextCheck();
  }

  /** An endpoint is back before its real server has gone: it is deleted, to be added anew. */
  giveUp(service: IpVsService, dest: IpVsDest): void {
    this.#ending.delete(dest);
    this.#ipvs.deleteDest(service, dest.address, dest.port);
  }

  #deleteIfIdle(service: IpVsService, { address, port, totalConns }: IpVsDest): boolean {
    if (service.protocol === IPPROTO_TCP && totalConns > 0) return false;
    this.#ipvs.deleteDest(service, address, port);
    return true;
  }

  #waitForNextCheck(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const sinceLast = (this.#clock.now - this.#start) % CHECK_INTERVAL;
    const check = () => {
      this.#isWaiting = false;
      this.#check();
      if (this.#ending.size > 0) this.#waitForNextCheck();
    };
    this.#clock.schedule(CHECK_INTERVAL - sinceLast, check, { background: true });
  }

  #check(): void {
    for (const [dest, service] of this.#ending) {
      // It went with its service.
      if (!dest.available || this.#deleteIfIdle(service, dest)) this.#ending.delete(dest);
    }
  }
}
