import { familyOf, type IpAddress, type IpFamily, type Mac, type Prefix } from "@cnilab/net";
import type { NetDevice } from "../device/net-device.ts";
import { KernelError } from "../kernel-error.ts";
import type { Skb } from "../skb.ts";
import { Neighbour, type NeighbourState } from "./neighbour.ts";
import type { NeighbourParameters } from "./neighbour-parameters.ts";

/** How a device asks for an address: ARP or neighbour discovery. */
export interface Solicitor {
  /** @param mac ask this neighbour only, to see whether it is still there; otherwise all on the link */
  solicit(dev: NetDevice, ip: IpAddress, mac: Mac | undefined, cause: Skb | undefined): void;
  /** Nobody answered: `waiting` cannot be sent. */
  unreachable(dev: NetDevice, ip: IpAddress, waiting: readonly Skb[]): void;
}

/** Whether news may replace a MAC that is known: by a person's word, yes, no, or not if it was just confirmed. */
export type Override = "admin" | "yes" | "weak" | "no";

/**
 * Neighbours that many machines have in common, such as the tunnel endpoints of all nodes. They count
 * as permanent. Immutable.
 */
export type NeighbourLayer = ReadonlyMap<IpAddress, Mac>;

const NOTHING: ReadonlySet<IpAddress> = new Set();

/** The neighbours of one device, of both families. */
export class NeighbourTable {
  readonly #dev: NetDevice;
  readonly #solicitor: Solicitor;
  readonly #neighbours = new Map<IpAddress, Neighbour>();
  #layer: NeighbourLayer | undefined;
  #withoutFromLayer: Set<IpAddress> | undefined;
  #proxies: Set<IpAddress> | undefined = undefined;

  constructor(dev: NetDevice, solicitor: Solicitor) {
    this.#dev = dev;
    this.#solicitor = solicitor;
  }

  #parametersOf(ip: IpAddress): NeighbourParameters {
    return typeof ip === "number" ? this.#dev.neigh4 : this.#dev.neigh6;
  }

  /** What is known of an address now; `undefined` when nothing is. */
  get(ip: IpAddress): Neighbour | undefined {
    const own = this.#neighbours.get(ip);
    if (own !== undefined) {
      this.#advance(own);
      return own;
    }
    const mac = this.#layer?.get(ip);
    if (mac === undefined || this.#withoutFromLayer?.has(ip)) return undefined;
    return permanent(this.#dev, ip, mac);
  }

  /** All that is known, own entries first. */
  *entries(): Iterable<Neighbour> {
    for (const neighbour of this.#neighbours.values()) {
      this.#advance(neighbour);
      yield neighbour;
    }
    for (const [ip, mac] of this.#layer ?? []) {
      if (!this.#neighbours.has(ip) && !this.#withoutFromLayer?.has(ip))
        yield permanent(this.#dev, ip, mac);
    }
  }

  /** `ip neigh replace`. */
  replace(ip: IpAddress, mac: Mac, state: NeighbourState = "PERMANENT"): void {
    this.#update(this.#make(ip), mac, state, "admin");
    this.#dev.network.touchNeighbours();
  }

  /** `ip neigh del`. False when there was none. */
  delete(ip: IpAddress): boolean {
    const own = this.#neighbours.get(ip);
    if (own !== undefined) {
      this.#stop(own);
      this.#forget(own);
    } else if (this.#layer?.has(ip) && !this.#withoutFromLayer?.has(ip)) {
      this.#withoutFromLayer ??= new Set();
      this.#withoutFromLayer.add(ip);
    } else {
      return false;
    }
    this.#dev.network.touch();
    return true;
  }

  setLayer(layer: NeighbourLayer | undefined, without: readonly IpAddress[] = []): void {
    this.#layer = layer;
    this.#withoutFromLayer = without.length > 0 ? new Set(without) : undefined;
    this.#dev.network.touch();
  }

  /** Addresses for which this device answers on behalf of others. */
  get proxies(): ReadonlySet<IpAddress> {
    return this.#proxies ?? NOTHING;
  }

  /** `ip neigh add proxy`. @throws KernelError ENOBUFS where the device has no IPv6 (`pndisc_constructor`) */
  addProxy(ip: IpAddress): void {
    if (familyOf(ip) === 6 && !this.#dev.hasIpv6) {
      throw new KernelError("ENOBUFS", `${this.#dev.name} has no IPv6`);
    }
    this.#proxies ??= new Set();
    this.#proxies.add(ip);
    this.#dev.network.touch();
  }

  get layer(): NeighbourLayer | undefined {
    return this.#layer;
  }

  /** Entries of the layer that this table lacks. */
  get withoutFromLayer(): ReadonlySet<IpAddress> {
    return this.#withoutFromLayer ?? NOTHING;
  }

  /** Entries of this table alone, of every state. */
  get ownEntries(): ReadonlyMap<IpAddress, Neighbour> {
    return this.#neighbours;
  }

  /** Forgets all but permanent entries, or these too (`neigh_ifdown`). */
  flush(alsoPermanent: boolean): void {
    for (const neighbour of this.#neighbours.values()) {
      if (!alsoPermanent && neighbour.state === "PERMANENT") continue;
      this.#stop(neighbour);
      this.#forget(neighbour);
    }
    if (alsoPermanent) {
      this.#proxies = undefined; // pneigh_ifdown
      this.setLayer(undefined);
    } else this.#dev.network.touch();
  }

  /** Forgets all that is known of a family, and what is answered for others, as it ends on the device (`neigh_ifdown`). */
  flushFamily(family: IpFamily): void {
    for (const ip of [...this.#neighbours.keys()]) if (familyOf(ip) === family) this.delete(ip);
    for (const ip of this.proxies) if (familyOf(ip) === family) this.#proxies?.delete(ip);
  }

  /** Forgets entries inside a prefix, as a removed address's connected route takes them along. */
  flushPrefix(prefix: Prefix): void {
    for (const ip of [...this.#neighbours.keys()]) if (prefix.contains(ip)) this.delete(ip);
  }

  /**
   * The MAC to send a packet to, or `undefined`: then the packet waits for the answer, or is lost
   * (`neigh_resolve_output`).
   */
  resolve(ip: IpAddress, skb: Skb): Mac | undefined {
    const own = this.#neighbours.get(ip);
    if (own === undefined) {
      const mac = this.#layer?.get(ip);
      if (mac !== undefined && !this.#withoutFromLayer?.has(ip)) {
        if (skb.trace !== undefined) this.#trace(skb, ip, mac, "PERMANENT");
        return mac;
      }
    }
    const neighbour = own ?? this.#make(ip);
    const now = this.#dev.network.clock.now;
    this.#advance(neighbour);
    neighbour.used = now;
    if (neighbour.state === "STALE") {
      neighbour.state = "DELAY";
      neighbour.updated = now;
    }
    if (neighbour.valid) {
      if (skb.trace !== undefined) this.#trace(skb, ip, neighbour.mac, neighbour.state);
      this.#record(neighbour);
      return neighbour.mac;
    }
    this.#dev.network.recording?.unrepeatable();
    if (skb.trace !== undefined) this.#trace(skb, ip, undefined, "INCOMPLETE");
    neighbour.queue ??= [];
    if (neighbour.queue.length >= this.#parametersOf(ip).unresolvedQueueLength) {
      const oldest = neighbour.queue.shift() as Skb;
      this.#dev.drop(oldest, "NEIGH_QUEUEFULL", `too many packets wait for the MAC of ${ip}`);
    }
    neighbour.queue.push(skb);
    if (neighbour.state !== "INCOMPLETE") {
      neighbour.state = "INCOMPLETE";
      neighbour.updated = now;
      neighbour.probes = 0;
      this.#noted(neighbour);
      this.#probe(neighbour, skb);
    }
    return undefined;
  }

  /** Tells a recording how using this neighbour is repeated, and how long it stays as it is. */
  #record(neighbour: Neighbour): void {
    const recording = this.#dev.network.recording;
    if (recording === undefined) return;
    const { baseReachableTime, delayFirstProbeTime } = this.#parametersOf(neighbour.ip);
    switch (neighbour.state) {
      case "PERMANENT":
      case "NOARP":
        break;
      case "REACHABLE":
        recording.expires(neighbour.confirmed + baseReachableTime);
        break;
      case "DELAY":
        recording.expires(neighbour.updated + delayFirstProbeTime);
        break;
      default:
        recording.unrepeatable();
        return;
    }
    recording.effect({
      repeat: (_packets, time) => {
        neighbour.used = time;
      },
    });
  }

  /** Traffic went both ways: the neighbour is there (`dst_confirm_neigh`). */
  confirm(ip: IpAddress): void {
    const neighbour = this.#neighbours.get(ip);
    if (neighbour !== undefined) neighbour.confirmed = this.#dev.network.clock.now;
  }

  /** A message told of a neighbour: creates the entry where asked to, then updates it. */
  learn(
    ip: IpAddress,
    mac: Mac,
    state: NeighbourState,
    options: { readonly create: boolean; readonly override: Override },
  ): void {
    const neighbour = options.create ? this.#make(ip) : this.#neighbours.get(ip);
    if (neighbour !== undefined) this.#update(neighbour, mac, state, options.override);
  }

  /** `neigh_update`: a message or a person says what the MAC is. */
  #update(neighbour: Neighbour, mac: Mac, state: NeighbourState, override: Override): void {
    const now = this.#dev.network.clock.now;
    this.#advance(neighbour);
    const old = neighbour.state;
    if (override !== "admin" && (old === "PERMANENT" || old === "NOARP")) return;
    const wasValid = neighbour.valid;
    if (state === "REACHABLE" || state === "PERMANENT" || state === "NOARP") {
      neighbour.confirmed = now;
    }
    if (wasValid) {
      const same = neighbour.mac === mac;
      if (!same && override === "no") return;
      if (!same && override === "weak" && old === "REACHABLE") {
        // Somebody else claims the address: keep what there is, but look again.
        neighbour.state = "STALE";
        neighbour.updated = now;
        this.#dev.neighbourNoted(neighbour, false);
        return;
      }
      if (same && state === "STALE" && override !== "admin") return;
    }
    if (old !== state || neighbour.mac !== mac) neighbour.updated = now;
    const isOther = neighbour.mac !== mac || !wasValid;
    neighbour.mac = mac;
    neighbour.state = state;
    neighbour.probes = 0;
    if (isOther) this.#noted(neighbour);
    else this.#dev.neighbourNoted(neighbour, false);
    if (!wasValid) this.#release(neighbour);
  }

  /** Packets that waited go out. */
  #release(neighbour: Neighbour): void {
    this.#stop(neighbour);
    const waiting = neighbour.queue ?? [];
    neighbour.queue = undefined;
    for (const skb of waiting) {
      if (skb.trace !== undefined) this.#trace(skb, neighbour.ip, neighbour.mac, neighbour.state);
      skb.dstMac = neighbour.mac;
      skb.srcMac = this.#dev.mac;
      this.#dev.queueTransmit(skb);
    }
  }

  /** Packets may take another way now. */
  #noted(neighbour: Neighbour): void {
    this.#dev.network.touchNeighbours();
    this.#dev.neighbourNoted(neighbour, false);
  }

  #forget(neighbour: Neighbour): void {
    this.#neighbours.delete(neighbour.ip);
    this.#dev.neighbourNoted(neighbour, true);
  }

  #make(ip: IpAddress): Neighbour {
    let neighbour = this.#neighbours.get(ip);
    if (neighbour === undefined) {
      neighbour = new Neighbour(this.#dev, ip);
      const mac = this.#layer?.get(ip);
      if (mac !== undefined && !this.#withoutFromLayer?.has(ip)) {
        neighbour.mac = mac;
        neighbour.state = "PERMANENT";
      }
      this.#neighbours.set(ip, neighbour);
    }
    return neighbour;
  }

  /** Asks, and asks again until there is an answer or enough was asked. */
  #probe(neighbour: Neighbour, cause: Skb | undefined): void {
    const { multicastSolicit, retransTime } = this.#parametersOf(neighbour.ip);
    if (neighbour.probes >= multicastSolicit) {
      this.#stop(neighbour);
      const waiting = neighbour.queue ?? [];
      neighbour.queue = undefined;
      neighbour.state = "FAILED";
      neighbour.updated = this.#dev.network.clock.now;
      this.#noted(neighbour);
      this.#solicitor.unreachable(this.#dev, neighbour.ip, waiting);
      this.#dev.network.run();
      return;
    }
    neighbour.probes++;
    this.#dev.network.unresolved.add(neighbour);
    const timer = this.#dev.network.clock.schedule(retransTime, () => {
      neighbour.timer = undefined;
      if (neighbour.state !== "INCOMPLETE") return;
      this.#probe(neighbour, neighbour.queue?.[0]);
      this.#dev.network.run();
    });
    neighbour.timer = timer;
    this.#solicitor.solicit(this.#dev, neighbour.ip, undefined, cause);
  }

  #stop(neighbour: Neighbour): void {
    neighbour.timer?.cancel();
    neighbour.timer = undefined;
    this.#dev.network.unresolved.delete(neighbour);
  }

  /**
   * Does what the kernel's timer would have done by now (`neigh_timer_handler`). Entries that nobody
   * uses need no timer this way; only the moment at which a probe is sent differs.
   */
  #advance(neighbour: Neighbour): void {
    const now = this.#dev.network.clock.now;
    const { baseReachableTime, delayFirstProbeTime, retransTime, unicastSolicit } =
      this.#parametersOf(neighbour.ip);
    for (;;) {
      switch (neighbour.state) {
        case "REACHABLE": {
          const expires = neighbour.confirmed + baseReachableTime;
          if (now <= expires) return;
          neighbour.state = expires <= neighbour.used + delayFirstProbeTime ? "DELAY" : "STALE";
          neighbour.updated = expires;
          continue;
        }
        case "DELAY":
          if (now <= neighbour.updated + delayFirstProbeTime) return;
          if (neighbour.confirmed >= neighbour.updated) {
            neighbour.state = "REACHABLE";
            continue;
          }
          neighbour.state = "PROBE";
          neighbour.updated = now;
          this.#dev.neighbourNoted(neighbour, false);
          this.#solicitor.solicit(this.#dev, neighbour.ip, neighbour.mac, undefined);
          return;
        case "PROBE":
          if (now > neighbour.updated + unicastSolicit * retransTime) {
            neighbour.state = "FAILED";
            neighbour.updated = now;
            this.#noted(neighbour);
          }
          return;
        default:
          return;
      }
    }
  }

  #trace(skb: Skb, ip: IpAddress, mac: Mac | undefined, state: NeighbourState): void {
    skb.trace?.steps.push({
      kind: "neighbour",
      netns: this.#dev.netns,
      packet: skb.number,
      dev: this.#dev,
      ip,
      mac,
      state,
    });
  }

  /** Entries of one family, for listing. */
  *entriesOf(family: 4 | 6): Iterable<Neighbour> {
    for (const neighbour of this.entries()) if (familyOf(neighbour.ip) === family) yield neighbour;
  }
}

function permanent(dev: NetDevice, ip: IpAddress, mac: Mac): Neighbour {
  const neighbour = new Neighbour(dev, ip);
  neighbour.mac = mac;
  neighbour.state = "PERMANENT";
  return neighbour;
}
