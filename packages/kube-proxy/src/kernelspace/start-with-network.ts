import type { Clock, NodeAgent, ProxyEngine, Timer } from "@cnilab/core";
import type { HostComputeNetwork } from "@cnilab/windows";
import type { Observable } from "rxjs";

/** How often kube-proxy looks for its network (`getNetworkInfo`). */
const LOOK_AGAIN_MS = 1000;
/** How long it lets an overlay's remote subnets come (`newProxierInternal`). */
const OVERLAY_SETTLES_MS = 10_000;
/** After so many looks nobody waits for it any more. */
const PATIENCE = 60;

/** kube-proxy on Windows starts its work when the HNS network is there. */
export class StartWithNetwork implements ProxyEngine {
  readonly #proxy: NodeAgent;
  readonly #clock: Clock;
  readonly #find: () => HostComputeNetwork | undefined;
  #timer: Timer | undefined;

  constructor(proxy: NodeAgent, clock: Clock, find: () => HostComputeNetwork | undefined) {
    this.#proxy = proxy;
    this.#clock = clock;
    this.#find = find;
  }

  get name(): string {
    return this.#proxy.name;
  }

  get ready(): Observable<boolean> {
    return this.#proxy.ready;
  }

  start(): void {
    this.#look(0);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#proxy.stop();
  }

  #look(looks: number): void {
    const network = this.#find();
    if (network === undefined) {
      const background = looks >= PATIENCE;
      this.#timer = this.#clock.schedule(LOOK_AGAIN_MS, () => this.#look(looks + 1), {
        background,
      });
      return;
    }
    const delay = network.Type === "Overlay" ? OVERLAY_SETTLES_MS : 0;
    this.#timer = this.#clock.schedule(delay, () => this.#proxy.start());
  }
}
