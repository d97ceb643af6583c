import { ARP_REQUEST, type ArpPacket, type Ipv4Address, type Mac } from "@cnilab/net";
import { mayAnswerArp } from "../neighbour/arp.ts";
import type { Neighbour } from "../neighbour/neighbour.ts";
import type { Network } from "../network.ts";
import type { Nic } from "./nic.ts";

/** Who has something else to learn of an address than that it is where it was. */
interface Learners {
  /** The MAC that all others know. */
  readonly mac: Mac;
  readonly nics: Set<Nic>;
}

/**
 * Whom a question on a segment may concern: of thousands of machines hardly any. Who may answer is asked of all once an address, and
 * again when something else than neighbours has changed; who may learn of the sender is kept as neighbours change.
 */
export class ArpAudience {
  readonly #network: Network;
  readonly #nics: ReadonlySet<Nic>;
  #configuration = -1;
  /** By the address that is asked for; both as of {@link #configuration}. */
  readonly #answerers = new Map<Ipv4Address, readonly Nic[]>();
  readonly #places = new Map<Nic, number>();
  /** By the address of who asks. */
  readonly #learners = new Map<Ipv4Address, Learners>();

  constructor(network: Network, nics: ReadonlySet<Nic>) {
    this.#network = network;
    this.#nics = nics;
  }

  /** NICs that a broadcast may mean something to, and perhaps some more, as they are plugged in. */
  of({ op, targetIp, senderIp, senderMac }: ArpPacket): Iterable<Nic> {
    if (op !== ARP_REQUEST) return this.#nics;
    const learners = this.#learnersOf(senderIp, senderMac);
    const answerers = this.#answerersOf(targetIp);
    if (learners.size === 0) return answerers;
    const place = (nic: Nic) => this.#places.get(nic) ?? 0;
    return [...new Set([...answerers, ...learners])].sort((x, y) => place(x) - place(y));
  }

  /** A NIC knows other things of a neighbour now, or nothing any more. */
  noted(nic: Nic, neighbour: Neighbour, isGone: boolean): void {
    const { ip } = neighbour;
    if (typeof ip !== "number") return;
    // Nobody has asked from there yet: then all are looked at.
    const known = this.#learners.get(ip);
    if (known === undefined) return;
    if (isGone || isSettled(neighbour, known.mac)) known.nics.delete(nic);
    else known.nics.add(nic);
  }

  /** A NIC is here no more, or new here with what it knows. */
  changed(): void {
    this.#learners.clear();
  }

  #learnersOf(ip: Ipv4Address, mac: Mac): ReadonlySet<Nic> {
    let known = this.#learners.get(ip);
    if (known?.mac === mac) return known.nics;
    known = { mac, nics: new Set() };
    for (const nic of this.#nics) {
      const neighbour = nic.neighbours?.ownEntries.get(ip);
      if (neighbour !== undefined && !isSettled(neighbour, mac)) known.nics.add(nic);
    }
    this.#learners.set(ip, known);
    return known.nics;
  }

  #answerersOf(ip: Ipv4Address): readonly Nic[] {
    if (this.#configuration !== this.#network.configuration) {
      this.#configuration = this.#network.configuration;
      this.#answerers.clear();
      this.#places.clear();
      for (const nic of this.#nics) this.#places.set(nic, this.#places.size);
    }
    let found = this.#answerers.get(ip);
    if (found === undefined) {
      found = [...this.#nics].filter((nic) => mayAnswerArp(nic, ip));
      this.#answerers.set(ip, found);
    }
    return found;
  }
}

/** Whether a question from this MAC would not change the entry, however much time has passed since. */
function isSettled({ state, mac }: Neighbour, sender: Mac): boolean {
  switch (state) {
    case "REACHABLE":
    case "STALE":
    case "DELAY":
    case "PERMANENT":
    case "NOARP":
      return mac === sender;
    default:
      return false;
  }
}
