import type { Clock, Timer } from "@cnilab/core";
import { type Kernel, Nic } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { ArpResponder } from "./arp-responder.ts";
import { NdpResponder } from "./ndp-responder.ts";
import type { Responder } from "./responder.ts";

/** For so long a new holder tells everybody, and so often (MetalLB internal/layer2/announcer.go `spam`). */
const SPAM_MS = 5000;
const SPAM_INTERVAL_MS = 1100;

/**
 * Announces addresses on a node's network cards that the node does not have, by programs that answer ARP and neighbour
 * discovery. The kernel knows nothing of these addresses; what kube-proxy wrote takes the packets.
 */
export class Announcer {
  readonly #machine: Kernel;
  readonly #clock: Clock;
  readonly #addresses = new Map<IpAddress, Timer[]>();
  #responders: readonly Responder[] = [];

  constructor(machine: Kernel, clock: Clock) {
    this.#machine = machine;
    this.#clock = clock;
  }

  get addresses(): Iterable<IpAddress> {
    return this.#addresses.keys();
  }

  add(address: IpAddress): void {
    if (this.#addresses.has(address)) return;
    if (this.#responders.length === 0) this.#responders = this.#listen();
    const timers: Timer[] = [];
    this.#addresses.set(address, timers);
    for (const responder of this.#responders) responder.watch(address);
    for (let at = 0; at < SPAM_MS; at += SPAM_INTERVAL_MS) {
      const task = () => {
        for (const responder of this.#responders) responder.gratuitous(address);
      };
      timers.push(this.#clock.schedule(at, task, { background: at > 0 }));
    }
  }

  remove(address: IpAddress): void {
    const timers = this.#addresses.get(address);
    if (timers === undefined) return;
    for (const timer of timers) timer.cancel();
    this.#addresses.delete(address);
    for (const responder of this.#responders) responder.unwatch(address);
    if (this.#addresses.size > 0) return;
    for (const responder of this.#responders) responder.close();
    this.#responders = [];
  }

  stop(): void {
    for (const address of [...this.#addresses.keys()]) this.remove(address);
  }

  /** On each card that is up and no bridge's port. */
  #listen(): Responder[] {
    const cards = this.#machine.initNs.devices.filter((d) => d instanceof Nic && d.up && !d.master);
    const announces = (address: IpAddress) => this.#addresses.has(address);
    return cards.flatMap((card) => [
      new ArpResponder(card, announces),
      new NdpResponder(card, announces),
    ]);
  }
}
