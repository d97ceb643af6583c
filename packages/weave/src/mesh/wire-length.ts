import type { PeerDescription } from "./peer.ts";

/*
 * Lengths are those of gob with every field given: a length or number below 128 is 1 byte, one of 32 bits 5, one of 64 bits 9; each field has a byte
 * that says which it is, each structure one at its end (encoding/gob). What a stream says of its types beforehand is not counted.
 */
const FIELD = 1;
const END = 1;
/** Six bytes behind their length. */
const NAME = 7;
const FLAG = 1;
/** Version and short id, as they are mostly. */
const SMALL_NUMBER = 3;
const UID = 9;

export const WIRE_NAME: number = FIELD + UID;
export const WIRE_NUMBER: number = FIELD + 5;

export function wireText(text: string): number {
  return FIELD + 1 + text.length;
}

/** Descriptions never change, and are told to many. */
const descriptions = new WeakMap<PeerDescription, number>();

export function wireDescription(peer: PeerDescription): number {
  let length = descriptions.get(peer);
  if (length === undefined) {
    length = describedLength(peer);
    descriptions.set(peer, length);
  }
  return length;
}

function describedLength({ nickname, connections }: PeerDescription): number {
  let length = FIELD + NAME + wireText(nickname) + FIELD + UID + 2 * (FIELD + SMALL_NUMBER) + END;
  length += FIELD + FLAG + 1;
  for (const { address } of connections.values()) {
    length += FIELD + NAME + wireText(address) + 2 * (FIELD + FLAG) + END;
  }
  return length;
}
