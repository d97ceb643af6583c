import type { PeerName, PeerUid } from "../mesh/peer-name.ts";

/** A peer that takes part; one that restarted is another, as it has forgotten what it promised. */
export interface Participant {
  readonly name: PeerName;
  readonly uid: PeerUid;
}

/** Rounds count from 1. */
export interface ProposalId {
  readonly round: number;
  readonly proposer: Participant;
}

export interface AcceptedValue {
  /** Peers to split the range between; neither sorted nor without doubles. */
  readonly value: readonly PeerName[];
  readonly origin: ProposalId;
}

/** What a participant says of itself. */
export interface NodeClaims {
  readonly participant: Participant;
  /** It accepts no proposal before this one. */
  readonly promise?: ProposalId;
  readonly accepted?: ProposalId;
  readonly acceptedValue?: AcceptedValue;
}

/** What a peer knows of all participants, by name and UID. */
export type PaxosState = ReadonlyMap<string, NodeClaims>;

/**
 * Consensus on the peers that first share the range: Paxos where every peer is proposer and acceptor, and messages are what everybody
 * knows of everybody (ipam/paxos/paxos.go).
 */
export class PaxosNode {
  readonly #self: Participant;
  readonly #knows = new Map<string, NodeClaims>();
  quorum = 0;

  constructor(self: Participant) {
    this.#self = self;
  }

  state(): PaxosState {
    return new Map(this.#knows);
  }

  get knownNodes(): number {
    return this.#knows.size;
  }

  /** @returns whether anything was news */
  update(from: PaxosState): boolean {
    let changed = false;
    for (const [key, theirs] of from) {
      const known = this.#knows.get(key);
      const later = known === undefined ? theirs : laterClaims(known, theirs);
      if (later === known) continue;
      changed = true;
      this.#knows.set(key, later);
    }
    return changed;
  }

  /** Begins a proposal above all that are known. */
  propose(): void {
    let round = 0;
    for (const { promise, accepted } of this.#knows.values()) {
      round = Math.max(round, promise?.round ?? 0, accepted?.round ?? 0);
    }
    this.#setOwn({ ...this.#own(), promise: { round: round + 1, proposer: this.#self } });
    if (this.quorum === 1) this.think();
  }

  /** @returns whether we say something else now */
  think(): boolean {
    const before = this.#own();
    let { promise, accepted, acceptedValue } = before;
    for (const claims of this.#knows.values()) {
      if (precedes(promise, claims.promise)) promise = claims.promise;
    }
    if (promise !== undefined && sameParticipant(promise.proposer, this.#self)) {
      const promised = [...this.#knows.values()].filter((claims) => same(claims.promise, promise));
      // Our own promise counts only once it is known to us as said.
      if (promised.length >= this.quorum) {
        let best: NodeClaims | undefined;
        for (const claims of promised) {
          if (precedes(best?.accepted, claims.accepted)) best = claims;
        }
        acceptedValue = best?.acceptedValue ?? { value: this.#pickValue(), origin: promise };
        accepted = promise;
      }
    }
    for (const claims of this.#knows.values()) {
      if (promise === undefined || !same(claims.accepted, promise)) continue;
      accepted = claims.accepted;
      acceptedValue = claims.acceptedValue;
      break;
    }
    if (
      same(promise, before.promise) &&
      same(accepted, before.accepted) &&
      same(acceptedValue?.origin, before.acceptedValue?.origin)
    ) {
      return false;
    }
    this.#setOwn({
      participant: this.#self,
      ...(promise && { promise }),
      ...(accepted && { accepted }),
      ...(acceptedValue && { acceptedValue }),
    });
    return true;
  }

  /** What a quorum has accepted. */
  consensus(): AcceptedValue | undefined {
    if (this.quorum === 0) return undefined;
    const counts = new Map<string, number>();
    for (const { accepted, acceptedValue } of this.#knows.values()) {
      if (accepted === undefined || acceptedValue === undefined) continue;
      const { round, proposer } = acceptedValue.origin;
      const key = `${round} ${keyOf(proposer)}`;
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      if (count >= this.quorum) return acceptedValue;
    }
    return undefined;
  }

  /** All that are known: at least a quorum, which is good enough. */
  #pickValue(): PeerName[] {
    return [...this.#knows.values()].map(({ participant }) => participant.name);
  }

  #own(): NodeClaims {
    return this.#knows.get(keyOf(this.#self)) ?? { participant: this.#self };
  }

  #setOwn(claims: NodeClaims): void {
    this.#knows.set(keyOf(this.#self), claims);
  }
}

function keyOf({ name, uid }: Participant): string {
  return `${name} ${uid}`;
}

function sameParticipant(x: Participant, y: Participant): boolean {
  return x.name === y.name && x.uid === y.uid;
}

function same(x: ProposalId | undefined, y: ProposalId | undefined): boolean {
  if (x === undefined || y === undefined) return x === y;
  return x.round === y.round && sameParticipant(x.proposer, y.proposer);
}

/** Nothing precedes every proposal. */
function precedes(x: ProposalId | undefined, y: ProposalId | undefined): boolean {
  if (y === undefined) return false;
  if (x === undefined) return true;
  if (x.round !== y.round) return x.round < y.round;
  if (x.proposer.name !== y.proposer.name) return x.proposer.name < y.proposer.name;
  return x.proposer.uid < y.proposer.uid;
}

/** `known` itself where `theirs` has nothing later. */
function laterClaims(known: NodeClaims, theirs: NodeClaims): NodeClaims {
  let later = known;
  if (theirs.promise !== undefined && precedes(known.promise, theirs.promise)) {
    later = { ...later, promise: theirs.promise };
  }
  if (theirs.accepted !== undefined && precedes(known.accepted, theirs.accepted)) {
    const { accepted, acceptedValue } = theirs;
    later = { ...later, accepted, ...(acceptedValue && { acceptedValue }) };
  }
  return later;
}
