import type { Clock, Container, Probe, Timer } from "@cnilab/core";
import { exchange, type NetNamespace, type Network } from "@cnilab/linux";
import { IPPROTO_TCP, type IpAddress } from "@cnilab/net";
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
    const decided = this.ready || this.#failures >= this.#failureThreshold;
    this.#timer = this.#clock.schedule(
      seconds * 1000,
      () => inTurn(this.#node.network, () => this.#run()),
      {
        background: decided,
      },
    );
  }

  get #failureThreshold(): number {
    return this.#probe.failureThreshold ?? 3;
  }

  #run(): void {
    if (this.#stopped) return;
    const before = this.ready;
    if (this.#succeeds()) {
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

  #succeeds(): boolean {
    const { httpGet, tcpSocket, grpc } = this.#probe;
    if (httpGet === undefined && tcpSocket === undefined && grpc === undefined) return true;
    const port = probePort(this.#probe, this.#container);
    if (port === undefined) return false;
    const { outcome } = exchange(this.#node, {
      protocol: IPPROTO_TCP,
      dst: this.#address,
      port,
      owner: "kubelet",
    });
    return outcome === "connected";
  }
}

/** Probes that wait for the one under way, by network. */
const waiting = new WeakMap<Network, (() => void)[]>();

/**
 * Runs one probe after the other. A probe whose packets take their time turns the clock, which may bring up
 * the next probe: that one waits, or thousands would run inside of each other.
 */
function inTurn(network: Network, probe: () => void): void {
  const queue = waiting.get(network);
  if (queue !== undefined) {
    queue.push(probe);
    return;
  }
  const turns = [probe];
  waiting.set(network, turns);
  try {
    for (let i = 0; i < turns.length; i++) (turns[i] as () => void)();
  } finally {
    waiting.delete(network);
  }
}
