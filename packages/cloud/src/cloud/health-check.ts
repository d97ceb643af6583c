import type { Clock, Timer } from "@cnilab/core";
import { httpGet, type NetNamespace, tcpProbe } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";

/** What is asked of a node, how often, and how many answers of one kind in a row count. */
export interface HealthCheckSettings {
  readonly port: number;
  /** What HTTP asks for; where it is `undefined`, a TCP connection is enough. */
  readonly path: string | undefined;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
}

/** kube-proxy's own health: is the node's proxy alive (ingress-gce pkg/healthchecksl4, "shared")? */
export const KUBE_PROXY_CHECK: HealthCheckSettings = {
  port: 10256,
  path: "/healthz",
  intervalMs: 8000,
  timeoutMs: 1000,
  healthyThreshold: 1,
  unhealthyThreshold: 3,
};

/** Has the node an endpoint of its own (ingress-gce pkg/healthchecksl4, "local")? */
export function localEndpointsCheck(healthCheckNodePort: number): HealthCheckSettings {
  return {
    port: healthCheckNodePort,
    path: "/healthz",
    intervalMs: 3000,
    timeoutMs: 1000,
    healthyThreshold: 1,
    unhealthyThreshold: 2,
  };
}

/** Does a node port answer, by whatever endpoint? */
export function nodePortCheck(nodePort: number): HealthCheckSettings {
  return { ...KUBE_PROXY_CHECK, port: nodePort, path: undefined };
}

/**
 * Asks one node again and again by real connections. A node is unhealthy until it has answered, to HTTP with 200. Only the way to a
 * first verdict keeps the world from being quiet.
 */
export class HealthCheck {
  readonly #from: NetNamespace;
  readonly #node: IpAddress;
  readonly #settings: HealthCheckSettings;
  readonly #clock: Clock;
  readonly #changed: () => void;
  #timer: Timer;
  #successes = 0;
  #failures = 0;
  #stopped = false;
  healthy = false;

  constructor(
    from: NetNamespace,
    node: IpAddress,
    settings: HealthCheckSettings,
    clock: Clock,
    changed: () => void,
  ) {
    this.#from = from;
    this.#node = node;
    this.#settings = settings;
    this.#clock = clock;
    this.#changed = changed;
    this.#timer = clock.schedule(0, () => this.#ask());
  }

  stop(): void {
    this.#stopped = true;
    this.#timer.cancel();
  }

  get #decided(): boolean {
    return this.healthy || this.#failures >= this.#settings.unhealthyThreshold;
  }

  #ask(): void {
    const { port, path, timeoutMs, intervalMs } = this.#settings;
    const background = this.#decided;
    const target = { dst: this.#node, port, owner: "health check", timeoutMs, background };
    const asked = this.#clock.now;
    const answered = (success: boolean) => {
      if (this.#stopped) return;
      this.#count(success);
      const rest = Math.max(0, asked + intervalMs - this.#clock.now);
      this.#timer = this.#clock.schedule(rest, () => this.#ask(), { background: this.#decided });
    };
    if (path === undefined) tcpProbe(this.#from, target, answered);
    else httpGet(this.#from, { ...target, path }, (response) => answered(response?.status === 200));
  }

  #count(success: boolean): void {
    const before = this.healthy;
    const { healthyThreshold, unhealthyThreshold } = this.#settings;
    this.#successes = success ? this.#successes + 1 : 0;
    this.#failures = success ? 0 : this.#failures + 1;
    if (this.#successes >= healthyThreshold) this.healthy = true;
    if (this.#failures >= unhealthyThreshold) this.healthy = false;
    if (this.healthy !== before) this.#changed();
  }
}
