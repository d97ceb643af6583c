import type { Clock, Container, Probe, Timer } from "@cnilab/core";
import { httpGet, type NetNamespace, tcpProbe } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { probePort } from "./container-process.ts";

/**
 * The readiness probe of one container. HTTP, TCP and gRPC probes are real connections from the node
 * to the pod; what a command would say is not known, and taken for success.
 */
export class ReadinessProbe {
  readonly #probe: Probe;
  readonly #container: Container;
  readonly #node: NetNamespace;
  readonly #address: IpAddress;
  readonly #clock: Clock;
  readonly #changed: () => void;
  #timer: Timer | undefined;
  #successes = 0;
  #failures = 0;
  #stopped = false;
  /** Whether it has succeeded lately. */
  ready = false;

  constructor(
    container: Container,
    probe: Probe,
    from: NetNamespace,
    address: IpAddress,
    clock: Clock,
    changed: () => void,
  ) {
    this.#container = container;
    this.#probe = probe;
    this.#node = from;
    this.#address = address;
    this.#clock = clock;
    this.#changed = changed;
    this.#schedule(probe.initialDelaySeconds ?? 0);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Only the way to a first verdict keeps the cluster from being settled. */
  #schedule(seconds: number): void {
    this.#timer = this.#clock.schedule(seconds * 1000, () => this.#run(), {
      background: this.#isDecided,
    });
  }

  get #isDecided(): boolean {
    return this.ready || this.#failures >= this.#failureThreshold;
  }

  get #failureThreshold(): number {
    return this.#probe.failureThreshold ?? 3;
  }

  #run(): void {
    if (this.#stopped) return;
    const { httpGet: http, tcpSocket, grpc } = this.#probe;
    // What a command would say is not known.
    if (http === undefined && tcpSocket === undefined && grpc === undefined) {
      this.#judge(true);
      return;
    }
    const port = probePort(this.#probe, this.#container);
    if (port === undefined) {
      this.#judge(false);
      return;
    }
    const to = {
      dst: this.#address,
      port,
      owner: "kubelet",
      timeoutMs: (this.#probe.timeoutSeconds ?? 1) * 1000,
      background: this.#isDecided,
    };
    if (http === undefined) {
      tcpProbe(this.#node, to, (connected) => this.#judge(connected));
      return;
    }
    httpGet(this.#node, { ...to, path: http.path ?? "/" }, (response) => {
      this.#judge(response !== undefined && response.status >= 200 && response.status < 400);
    });
  }

  #judge(succeeded: boolean): void {
    if (this.#stopped) return;
    const before = this.ready;
    if (succeeded) {
      this.#failures = 0;
      this.#successes++;
      if (this.#successes >= (this.#probe.successThreshold ?? 1)) this.ready = true;
    } else {
      this.#successes = 0;
      this.#failures++;
      if (this.#failures >= this.#failureThreshold) this.ready = false;
    }
    this.#schedule(this.#probe.periodSeconds ?? 10);
    if (this.ready !== before) this.#changed();
  }
}
