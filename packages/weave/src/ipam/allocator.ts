import { formatIp, type Ipv4Address, type Prefix } from "@cnilab/net";
import type { NickName, PeerName, PeerUid } from "../mesh/peer-name.ts";
import { type AddressRange, rangeOf, sizeOf } from "./address-range.ts";
import { Allocation } from "./allocation.ts";
import { Claim } from "./claim.ts";
import type { DonorOrder } from "./donors.ts";
import type { IpamGossip, IpamMessage, IpamState } from "./ipam-message.ts";
import type { Allocated, Claimed, Operation } from "./operation.ts";
import { type OwnedAddress, OwnedAddresses } from "./owned-addresses.ts";
import { PaxosNode } from "./paxos.ts";
import { Ring, type RingState } from "./ring.ts";
import { DifferentRange, DifferentSeeds } from "./ring-error.ts";
import { Space } from "./space.ts";

/** How often whatever waits is tried again, in ms. */
export const TICK_MS = 5_000;
/** How long a dead container keeps its addresses, in ms. */
const CONTAINER_DIED_TIMEOUT_MS = 30_000;

export interface AllocatorOptions {
  readonly name: PeerName;
  readonly uid: PeerUid;
  readonly nickname: NickName;
  /** All addresses that there are. */
  readonly universe: Prefix;
  /** `--ipalloc-init seed=…`: the range is theirs from the start. */
  readonly seed?: readonly PeerName[];
  /** `--ipalloc-init observer`: it waits for a ring of others. */
  readonly observer?: boolean;
  /** How many peers must agree on the first ring. */
  readonly quorum: () => number;
  readonly gossip: IpamGossip;
  readonly donors: DonorOrder;
  /** Whether the mesh has that peer now. */
  readonly isKnownPeer: (peer: PeerName) => boolean;
  /** Virtual time in ms. */
  readonly now: () => number;
  /**
   * After so many requests for space that brought no address only ticks try again. Weave knows no such end: peers without
   * addresses left hand the two that nobody can have, the network's and the broadcast's, to each other for ever.
   */
  readonly requestsInVain?: number;
  /** Told after whatever happened: what waits may be other, and who owns what. */
  readonly acted?: () => void;
}

/** What survives a restart. */
export interface PersistedIpam {
  readonly ring: RingState;
  readonly owned: ReadonlyMap<
    string,
    { readonly isContainer: boolean; readonly addresses: readonly OwnedAddress[] }
  >;
}

export interface AllocateRequest {
  readonly ident: string;
  readonly subnet: Prefix;
  readonly isContainer: boolean;
  readonly hasBeenCancelled?: () => boolean;
}

export interface ClaimRequest extends Omit<AllocateRequest, "subnet"> {
  readonly address: Ipv4Address;
  readonly length: number;
  /** Who cannot be asked now is no error: it is tried again. */
  readonly noErrorOnUnknown?: boolean;
}

/**
 * Hands out the addresses of one peer (ipam/allocator.go): its own ones, and where these are used up some that another peer gives away. Where
 * there are none left in the whole range a request waits for ever.
 */
export class Allocator {
  readonly ring: Ring;
  readonly space: Space = new Space();
  readonly owned: OwnedAddresses = new OwnedAddresses();
  readonly #options: AllocatorOptions;
  readonly #nicknames: Map<PeerName, NickName>;
  readonly #paxos: PaxosNode | undefined;
  #awaitingConsensus = false;
  #shuttingDown = false;
  readonly #claims: Claim[] = [];
  readonly #allocations: Allocation[] = [];
  /** When containers died, in ms. */
  readonly #dead = new Map<string, number>();
  /** Requests for space since there was an address for somebody. */
  #requestsInVain = 0;
  #ownedVersion = 0;

  constructor(options: AllocatorOptions) {
    const { name, uid, nickname, universe, observer } = options;
    this.#options = options;
    this.ring = new Ring(rangeOf(universe), name);
    this.#nicknames = new Map([[name, nickname]]);
    this.#paxos = observer === true ? undefined : new PaxosNode({ name, uid });
  }

  get name(): PeerName {
    return this.#options.name;
  }

  get universe(): Prefix {
    return this.#options.universe;
  }

  get nicknames(): ReadonlyMap<PeerName, NickName> {
    return this.#nicknames;
  }

  /** Whether {@link tick} has anything to do, now or after a while. */
  get needsTicks(): boolean {
    return (
      this.#awaitingConsensus ||
      this.#claims.length + this.#allocations.length > 0 ||
      this.#dead.size > 0
    );
  }

  /** Operations that wait, in order. */
  get pending(): {
    readonly claims: readonly Operation[];
    readonly allocations: readonly Operation[];
  } {
    return { claims: this.#claims, allocations: this.#allocations };
  }

  /** The consensus that the first ring waits for. */
  get consensus(): {
    readonly waiting: boolean;
    readonly knownNodes: number;
    readonly quorum: number;
  } {
    const { knownNodes = 0, quorum = 0 } = this.#paxos ?? {};
    return { waiting: this.#awaitingConsensus, knownNodes, quorum };
  }

  /** @param persisted of the run before; another range than ours does not count */
  start(persisted?: PersistedIpam): void {
    const { seed } = this.#options;
    const { range } = this.ring;
    if (
      persisted !== undefined &&
      persisted.ring.entries.length > 0 &&
      persisted.ring.range.start === range.start &&
      persisted.ring.range.end === range.end
    ) {
      this.ring.restore(persisted.ring);
      this.space.updateRanges(this.ring.ownedRanges());
      for (const [ident, { isContainer, addresses }] of persisted.owned) {
        for (const each of addresses) {
          this.owned.add(ident, each, isContainer);
          this.space.claim(each.address);
        }
      }
    } else if (seed !== undefined && seed.length > 0) {
      this.#createRing(seed);
    }
  }

  persist(): PersistedIpam {
    return { ring: this.ring.state(), owned: new Map(this.owned.entries()) };
  }

  allocate(request: AllocateRequest, done: Allocated): void {
    this.#act(() => this.#begin(new Allocation(this, request, done), this.#allocations));
  }

  claim(request: ClaimRequest, done: Claimed): void {
    this.#act(() => this.#begin(new Claim(this, request, done), this.#claims));
  }

  /** Gives back all that it has. @returns whether it had anything */
  delete(ident: string): boolean {
    return this.#act(() => this.#delete(ident));
  }

  free(ident: string, address: Ipv4Address): boolean {
    return this.#act(() => {
      if (!this.owned.remove(ident, address)) return false;
      this.space.release(address);
      return true;
    });
  }

  /** Its addresses stay for a while, for it may be started again. */
  containerDied(ident: string): void {
    this.#act(() => {
      if (this.owned.get(ident)?.isContainer === true) this.#dead.set(ident, this.#options.now());
      for (const pending of [this.#claims, this.#allocations]) {
        cancelAll(pending, (operation) => operation.ident === ident);
      }
    });
  }

  containerDestroyed(ident: string): void {
    this.#act(() => {
      if (this.owned.get(ident)?.isContainer === true) this.#delete(ident);
      this.#dead.delete(ident);
    });
  }

  containerStarted(ident: string): void {
    this.#dead.delete(ident);
  }

  isDead(ident: string): boolean {
    return this.#dead.has(ident);
  }

  /** Frees what containers have that are no longer there. */
  pruneOwned(idents: ReadonlySet<string>): void {
    this.#act(() => {
      for (const [ident, { isContainer }] of [...this.owned.entries()]) {
        if (isContainer && !idents.has(ident)) this.#delete(ident);
      }
    });
  }

  /** `weave rmpeer`: takes over what a peer has that is gone for good. @returns free addresses that this brought */
  takeOverRanges(nameOrNickname: string): number {
    return this.#act(() => {
      const peer = this.#peerNamed(nameOrNickname);
      if (peer === this.name) return 0;
      if (this.ring.transfer(peer, this.name).length === 0) return 0;
      const before = this.space.freeCount();
      this.#ringUpdated();
      const gained = this.space.freeCount() - before;
      this.#broadcast();
      return gained;
    });
  }

  /** `weave reset`: leaves all that it has to another peer, and takes no more requests. */
  shutdown(): void {
    this.#act(() => {
      this.#shuttingDown = true;
      for (const pending of [this.#claims, this.#allocations]) cancelAll(pending, () => true);
      const heir = this.#heir();
      if (heir === undefined) return;
      this.ring.transfer(this.name, heir);
      this.space.clear();
      this.#broadcast();
    });
  }

  peerGone(peer: PeerName): void {
    if (!this.ring.owners().has(peer)) this.#nicknames.delete(peer);
  }

  /** To be called each {@link TICK_MS}: messages may have been lost. */
  tick(): void {
    this.#act(() => {
      if (this.#awaitingConsensus) this.#propose();
      else if (this.#claims.length + this.#allocations.length > 0) {
        if (this.ring.isEmpty) this.establishRing();
        else this.#tryPending();
      }
      const died = this.#options.now() - CONTAINER_DIED_TIMEOUT_MS;
      for (const [ident, at] of [...this.#dead]) {
        if (at >= died) continue;
        this.#delete(ident);
        this.#dead.delete(ident);
      }
    });
  }

  /** What we tell others. */
  state(): IpamState {
    const nicknames = new Map(this.#nicknames);
    if (!this.ring.isEmpty) return { nicknames, ring: this.ring.state() };
    const paxos = this.#paxos?.state();
    return paxos === undefined ? { nicknames } : { nicknames, paxos };
  }

  /**
   * From a neighbour's periodic gossip, where `sender` is absent, or a peer's broadcast.
   * @throws Error where it cannot be; the connection that it came from is then dropped
   */
  onGossip(state: IpamState, sender?: PeerName): void {
    this.#act(() => this.#update(state, sender));
  }

  /** @throws Error as {@link onGossip} */
  onUnicast(sender: PeerName, message: IpamMessage): void {
    this.#act(() => {
      switch (message.kind) {
        case "spaceRequest":
          // Without a ring it is left unanswered; they ask again.
          if (!this.ring.isEmpty) this.#donate(message.range, sender);
          return;
        case "spaceRequestDenied":
          this.#denied(message.range, sender);
          return;
        case "ringUpdate":
          this.#update(message.state, sender);
      }
    });
  }

  /** For operations: sees that there is a ring some day. */
  establishRing(): void {
    if (!this.ring.isEmpty || this.#awaitingConsensus) return;
    this.#awaitingConsensus = true;
    if (this.#paxos !== undefined) this.#paxos.quorum = this.#options.quorum();
    this.#propose();
    const consensus = this.#paxos?.consensus();
    if (consensus !== undefined) this.#createRing(consensus.value);
  }

  /** For operations: asks for addresses of a range. @returns whether the peer can be reached */
  requestSpace(peer: PeerName, range: AddressRange): boolean {
    return this.#options.gossip.unicast(peer, { kind: "spaceRequest", range });
  }

  /** For operations: asks one peer that has some, the next where that cannot be reached. */
  requestSpaceOfAny(range: AddressRange): void {
    if (this.owned.version !== this.#ownedVersion) this.#requestsInVain = 0;
    this.#ownedVersion = this.owned.version;
    this.#requestsInVain++;
    const donors = this.#options.donors(this.ring.freeSpaceOfOthers(range));
    for (const donor of donors) {
      if (this.requestSpace(donor, range)) return;
    }
  }

  /** For operations. */
  resurrect(ident: string): void {
    this.#dead.delete(ident);
  }

  #begin<O extends Operation>(operation: O, pending: O[]): void {
    if (this.#shuttingDown) operation.cancel();
    else if (!operation.attempt()) pending.push(operation);
  }

  #tryPending(): void {
    // Claims first: an allocation must not take what somebody has already.
    attemptAll(this.#claims);
    attemptAll(this.#allocations);
  }

  #propose(): void {
    this.#paxos?.propose();
    this.#broadcast();
  }

  #createRing(peers: readonly PeerName[]): void {
    this.ring.claimForPeers([...new Set(peers)].sort());
    this.#ringUpdated();
    this.#broadcast();
  }

  #ringUpdated(): void {
    this.#awaitingConsensus = false;
    this.space.updateRanges(this.ring.ownedRanges());
    const { requestsInVain = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#requestsInVain <= requestsInVain) this.#tryPending();
  }

  #update({ nicknames, paxos, ring }: IpamState, sender: PeerName | undefined): void {
    for (const [peer, nickname] of nicknames) this.#nicknames.set(peer, nickname);
    if (ring !== undefined) {
      this.#merge(ring);
    } else if (!this.ring.isEmpty) {
      if (sender !== undefined) this.#sendRing(sender);
    } else if (paxos !== undefined) {
      if (this.#paxos?.update(paxos) !== true) return;
      if (this.#paxos.think()) this.#broadcast();
      const consensus = this.#paxos.consensus();
      if (consensus !== undefined) this.#createRing(consensus.value);
    } else if (this.#paxos !== undefined && sender !== undefined) {
      // An observer wants a ring, and cannot propose one itself.
      this.establishRing();
    }
  }

  #merge(ring: RingState): void {
    try {
      if (!this.ring.merge(ring, (ranges) => this.#hasAllocations(ranges))) return;
    } catch (error) {
      if (error instanceof DifferentSeeds) {
        throw new Error(
          `IP allocation was seeded by different peers (received: ${this.#annotated(ring.seeds)}, ours: ${this.#annotated(this.ring.seeds)})`,
        );
      }
      if (error instanceof DifferentRange) {
        throw new Error(
          `Incompatible IP allocation ranges (received: ${cidrText(ring.range)}, ours: ${cidrText(this.ring.range)})`,
        );
      }
      throw error;
    }
    const owners = this.ring.owners();
    for (const peer of [...this.#nicknames.keys()]) {
      if (!owners.has(peer) && !this.#options.isKnownPeer(peer)) this.#nicknames.delete(peer);
    }
    this.#ringUpdated();
  }

  #donate(range: AddressRange, to: PeerName): void {
    const chunk = this.space.donate(range);
    if (chunk === undefined) {
      this.#options.gossip.unicast(to, { kind: "spaceRequestDenied", range });
    } else {
      this.ring.grantRangeToHost(chunk, to);
      this.#broadcast();
    }
    // Either it tells them what they got, or where else there may be some.
    this.#sendRing(to);
  }

  #denied({ start, end }: AddressRange, sender: PeerName): void {
    const denied = this.#claims.filter(({ address }) => address >= start && address < end);
    for (const claim of denied) {
      remove(this.#claims, claim);
      claim.deniedBy(sender);
    }
  }

  #sendRing(to: PeerName): void {
    this.#options.gossip.unicast(to, { kind: "ringUpdate", state: this.state() });
  }

  #broadcast(): void {
    this.#options.gossip.broadcast(() => this.state());
  }

  #hasAllocations(ranges: readonly AddressRange[]): boolean {
    return ranges.some((range) => this.space.freeCount(range) !== sizeOf(range));
  }

  #delete(ident: string): boolean {
    const addresses = this.owned.removeAll(ident);
    for (const { address } of addresses) this.space.release(address);
    return addresses.length > 0;
  }

  /** Whoever has a part in the ring and is there; else whoever is there; else whoever there was. */
  #heir(): PeerName | undefined {
    const { isKnownPeer } = this.#options;
    const inRing = this.ring.entries.map(({ peer }) => peer).filter((peer) => peer !== this.name);
    const named = [...this.#nicknames.keys()].filter((peer) => peer !== this.name);
    return inRing.find(isKnownPeer) ?? named.find(isKnownPeer) ?? inRing[0] ?? named[0];
  }

  #peerNamed(nameOrNickname: string): PeerName {
    for (const [peer, nickname] of this.#nicknames) {
      if (nickname === nameOrNickname) return peer;
    }
    return nameOrNickname;
  }

  #annotated(peers: readonly PeerName[]): string {
    const names = peers.map((peer) => {
      const nickname = this.#nicknames.get(peer);
      return nickname === undefined ? peer : `${peer}(${nickname})`;
    });
    return `[${names.join(" ")}]`;
  }

  /** Others choose whom to ask by what we say is free: that is told after whatever happened. */
  #act<T>(action: () => T): T {
    try {
      return action();
    } finally {
      const ranges = this.ring.ownedRanges();
      if (ranges.length > 0) {
        this.ring.reportFree(
          new Map(ranges.map((range) => [range.start, this.space.freeCount(range)])),
        );
      }
      this.#options.acted?.();
    }
  }
}

/** Who is told of an end may ask for something else at once. */
function attemptAll(pending: Operation[]): void {
  for (const operation of [...pending]) {
    if (operation.attempt()) remove(pending, operation);
  }
}

function cancelAll(pending: Operation[], concerned: (operation: Operation) => boolean): void {
  for (const operation of pending.filter(concerned)) {
    remove(pending, operation);
    operation.cancel();
  }
}

function remove(pending: Operation[], operation: Operation): void {
  const index = pending.indexOf(operation);
  if (index >= 0) pending.splice(index, 1);
}

function cidrText(range: AddressRange): string {
  const length = 32 - Math.log2(sizeOf(range));
  return Number.isInteger(length)
    ? `${formatIp(range.start)}/${length}`
    : `${formatIp(range.start)}-${formatIp((range.end - 1) >>> 0)}`;
}
