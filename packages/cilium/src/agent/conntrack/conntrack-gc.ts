import type { Timer } from "@cnilab/core";
import type { IpFamily } from "@cnilab/net";
import { ProxyPart } from "../../proxy/proxy-part.ts";
import type { AgentPart } from "../agent-part.ts";
import type { CiliumAgent } from "../cilium-agent.ts";
import { collectConnections, purgeOrphanMappings } from "./collect-connections.ts";
import { gcInterval } from "./gc-interval.ts";

/** Takes connections out of the maps once they are over, at first when the agent starts (pkg/maps/ctmap/gc/gc.go). */
export class ConntrackGc implements AgentPart {
  readonly name = "conntrack-gc";
  readonly #agent: CiliumAgent;
  #timer: Timer | undefined;
  #stopReading: (() => void) | undefined;
  /** Families that programs have found no free port for; they are not heard again until that was looked at. */
  readonly #signalled = new Set<IpFamily>();
  #previous: number | undefined;
  #expectedMs = 0;
  #fullUntil = 0;

  constructor(agent: CiliumAgent) {
    this.#agent = agent;
  }

  start(): void {
    const { maps, config } = this.#agent;
    this.#stopReading = maps.signals.read(({ family }) => {
      const isFirst = this.#signalled.size === 0;
      this.#signalled.add(family);
      if (isFirst) this.#schedule(0);
    });
    this.#pass(config.families, false, true);
  }

  stop(): void {
    this.#stopReading?.();
    this.#stopReading = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#agent.node.clock.schedule(ms, () => this.#run(), { background: true });
  }

  #run(): void {
    const signalled = [...this.#signalled];
    this.#signalled.clear();
    if (signalled.length > 0) this.#pass(signalled, true, false);
    else this.#pass(this.#agent.config.families, false, false);
  }

  #pass(families: readonly IpFamily[], bySignal: boolean, isFirst: boolean): void {
    const { node, endpoints, config } = this.#agent;
    const { now } = node.clock;
    const actualMs = this.#previous === undefined ? 0 : now - this.#previous;
    this.#previous = now;
    const hasWork = endpoints.size > 0 || isFirst;
    const ratio = hasWork ? this.#collect(families, bySignal, now) : 0;
    let interval = gcInterval(actualMs, this.#expectedMs, ratio, config.conntrackGc);
    const isFull = families.length === config.families.length;
    // Names of DNS live as long as connections to what they stood for (EndpointManager.MarkCTGCTime).
    if (isFull) this.#agent.part(ProxyPart)?.proxies.names.connectionsCollected();
    if (isFull && hasWork) {
      this.#fullUntil = now + interval;
      this.#expectedMs = interval;
    } else if (!isFirst) {
      // The other family's turn comes when it was to.
      const left = Math.max(0, this.#fullUntil - now);
      if (left < interval) interval = left;
      else this.#expectedMs = interval;
    }
    this.#schedule(interval);
  }

  /** @returns the greatest part of a map's room that was freed */
  #collect(families: readonly IpFamily[], bySignal: boolean, now: number): number {
    const { maps } = this.#agent;
    const seconds = Math.floor(now / 1000);
    let ratio = 0;
    for (const family of families) {
      const [tcp, any] = family === 4 ? [maps.ct4, maps.ctAny4] : [maps.ct6, maps.ctAny6];
      const snat = maps.snat(family);
      for (const map of [tcp, any]) {
        ratio = Math.max(ratio, collectConnections(map, snat, seconds) / map.maxEntries);
      }
      if (bySignal) purgeOrphanMappings(tcp, any, snat);
    }
    return ratio;
  }
}
