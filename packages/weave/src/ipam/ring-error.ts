import { formatIp } from "@cnilab/net";
import type { RingEntry } from "./ring-entry.ts";

/** A ring that a peer sent does not go together with ours; nothing of it was taken. Messages are the real ones. */
export class RingError extends Error {
  override readonly name: string = "RingError";
}

export class DifferentSeeds extends RingError {
  override readonly name = "DifferentSeeds";
  constructor() {
    super("Received ring was seeded differently from ours");
  }
}

export class DifferentRange extends RingError {
  override readonly name = "DifferentRange";
  constructor() {
    super("Received range differs from ours");
  }
}

export function inconsistentEntry(mine: RingEntry, theirs: RingEntry): RingError {
  return new RingError(
    `Inconsistent entries for ${formatIp(mine.token)}: owned by ${mine.peer} but incoming message says ${theirs.peer}`,
  );
}

export function entryInMyRange(theirs: RingEntry): RingError {
  return new RingError(
    `Peer ${theirs.peer} says it owns the IP range from ${formatIp(theirs.token)}, which I think I own`,
  );
}

export function newerVersion(mine: RingEntry, theirs: RingEntry): RingError {
  return new RingError(
    `Received update for IP range I own at ${formatIp(mine.token)} v${mine.version}: incoming message says owner ${theirs.peer} v${theirs.version}`,
  );
}
