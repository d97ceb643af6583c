import type { NickName, PeerName, PeerUid } from "./peer-name.ts";
import type { ShortId } from "./short-ids.ts";

/** A connection as its peer tells of it (mesh/peers.go connectionSummary). */
export interface PeerLink {
  /** The other end of the TCP connection, as `10.0.0.2:6783`. */
  readonly address: string;
  readonly outbound: boolean;
  readonly established: boolean;
}

/**
 * What a peer says of itself, and others pass on. Never changed in place: whoever knows the same of a peer shares it. Of a peer that only others
 * speak of all is zero.
 */
export interface PeerDescription {
  readonly name: PeerName;
  readonly nickname: NickName;
  readonly uid: PeerUid;
  /** Rises with each change of what is said here. */
  readonly version: number;
  /** Absent where a peer has not told it yet. */
  readonly shortId?: ShortId;
  readonly connections: ReadonlyMap<PeerName, PeerLink>;
}

/** Whether `theirs` says more than what is known (mesh/peers.go applyDecodedUpdate). */
export function isNewer(theirs: PeerDescription, known: PeerDescription): boolean {
  if (theirs.version !== known.version) return theirs.version > known.version;
  if (theirs.uid !== known.uid) return theirs.uid > known.uid;
  return theirs.shortId !== undefined && known.shortId === undefined;
}

/** A peer that somebody has a connection to, of whom no more is known. */
export function placeholder(name: PeerName): PeerDescription {
  return { name, nickname: "", uid: 0, version: 0, connections: new Map() };
}

/** As messages of Weave name a peer. */
export function peerText({ name, nickname }: Pick<PeerDescription, "name" | "nickname">): string {
  return `${name}(${nickname})`;
}
