import { SeededRandom, VirtualClock } from "@cnilab/core";
import { Kernel, type LinkFault, type NetNamespace, Network, Nic, Segment } from "@cnilab/linux";
import { parseIp } from "@cnilab/net";
import { type MeshOptions, MeshRouter, NULL_OVERLAY, type PeerName } from "../src/index.ts";
import { peerNumber } from "./golden/rings.ts";

/** Machines 10.0.0.1, 10.0.0.2 … on one Ethernet, each with a peer of its number. */
export class MeshLab {
  readonly clock: VirtualClock = new VirtualClock();
  readonly #random: SeededRandom;
  readonly network: Network;
  readonly #segment: Segment;
  readonly #nics = new Map<number, Nic>();
  readonly routers: Map<number, MeshRouter> = new Map();
  #starts = 0;

  constructor(seed = 1) {
    this.#random = new SeededRandom(seed);
    this.network = new Network(this.clock, this.#random);
    this.#segment = new Segment(this.network, "lan");
  }

  static address(host: number): string {
    return `10.0.0.${host}`;
  }

  machine(host: number): NetNamespace {
    const known = this.#nics.get(host);
    if (known !== undefined) return known.netns;
    const { initNs } = new Kernel(this.network, `m${host}`);
    initNs.loopback.setUp();
    const nic = new Nic(initNs, { name: "eth0", segment: this.#segment });
    nic.setUp();
    nic.addAddress(parseIp(MeshLab.address(host)), 24);
    this.#nics.set(host, nic);
    return initNs;
  }

  /** Makes a peer that is not started yet. */
  make(host: number, more: Partial<MeshOptions> = {}): MeshRouter {
    const router = new MeshRouter({
      netns: this.machine(host),
      clock: this.clock,
      random: this.#random.fork(`peer${host} ${this.#starts++}`),
      name: peerNumber(host),
      nickname: `n${host}`,
      overlay: NULL_OVERLAY,
      ...more,
    });
    this.routers.set(host, router);
    return router;
  }

  start(host: number, to: readonly number[], more: Partial<MeshOptions> = {}): MeshRouter {
    const router = this.make(host, more);
    router.start(to.map(MeshLab.address));
    return router;
  }

  /** Nothing gets through between two machines, or all does again. */
  cut(x: number, y: number, cut = true): void {
    this.#fault(x, y, cut ? { cut } : undefined);
  }

  /** How long everything between two machines takes. */
  delay(x: number, y: number, delayMs: number): void {
    this.#fault(x, y, { delayMs });
  }

  /** Of what goes between two machines this part is lost, 0 to 1. */
  lose(x: number, y: number, loss: number): void {
    this.#fault(x, y, { loss });
  }

  /** What the switch between the machines takes; the machines do not hear of it. */
  setSegmentMtu(mtu: number): void {
    this.#segment.mtu = mtu;
  }

  #fault(x: number, y: number, fault: LinkFault | undefined): void {
    const [from, to] = [this.#nics.get(x) as Nic, this.#nics.get(y) as Nic];
    this.#segment.setFault(from, to, fault);
    this.#segment.setFault(to, from, fault);
  }

  /** Neighbours of each peer by their numbers, established ones alone. */
  neighbours(): Record<number, number[]> {
    return Object.fromEntries(
      [...this.routers].map(([host, { connections }]) => [
        host,
        [...connections]
          .filter(([, { isEstablished }]) => isEstablished)
          .map(([name]) => numberOf(name))
          .sort((x, y) => x - y),
      ]),
    );
  }
}

export function numberOf(name: PeerName): number {
  return Number.parseInt(name.replaceAll(":", ""), 16);
}
