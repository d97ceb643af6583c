import type { Clock, Timer } from "@cnilab/core";
import type { Iptables } from "@cnilab/linux";
import { ensureChain } from "./go-iptables.ts";

const CANARY = "WEAVE-CANARY";
/** The first is looked at; where it is gone all should be. */
const TABLES: readonly string[] = ["mangle", "nat", "filter"];
/** In ms. */
const INTERVAL_MS = 10_000;

/** An empty chain that is missed when somebody flushes all rules (net/iptables.go MonitorForIptablesFlush). */
export class IptablesCanary {
  readonly #iptables: Iptables;
  readonly #clock: Clock;
  readonly #flushed: () => void;
  #timer: Timer | undefined;

  /** @param flushed has rules made again */
  constructor(iptables: Iptables, clock: Clock, flushed: () => void) {
    this.#iptables = iptables;
    this.#clock = clock;
    this.#flushed = flushed;
  }

  start(): void {
    this.#ensure();
    const look = () => {
      if (!this.#iptables.hasChain(TABLES[0] as string, CANARY)) {
        this.#flushed();
        this.#ensure();
      }
      this.#timer = this.#clock.schedule(INTERVAL_MS, look, { background: true });
    };
    this.#timer = this.#clock.schedule(INTERVAL_MS, look, { background: true });
  }

  stop(): void {
    this.#timer?.cancel();
    for (const table of TABLES) {
      if (this.#iptables.hasChain(table, CANARY)) this.#iptables.deleteChain(table, CANARY);
    }
  }

  #ensure(): void {
    for (const table of TABLES) {
      ensureChain(this.#iptables, table, CANARY);
    }
  }
}
