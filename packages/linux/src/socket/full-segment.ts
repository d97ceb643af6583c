import type { Payload } from "@cnilab/net";
import { messageOf } from "./conversation.ts";

/** Jumbo frames are the longest that links between machines take. */
const LONGEST_ON_WIRES = 9000;

/**
 * What shows whether long packets get through: a segment as long as they get, but for devices without a wire, which take 64 KiB and leave it
 * to others to find out what can be sent of that.
 */
export function fullSegment({ maxSegmentSize }: { readonly maxSegmentSize: number }): number {
  return Math.min(maxSegmentSize, LONGEST_ON_WIRES);
}

/** Tells the first piece of a request from those that follow: one that was cut on the way has one answer. */
export class RequestPieces {
  #request: unknown;

  isFirst(data: Payload): boolean {
    const request = messageOf(data);
    if (request !== undefined && request === this.#request) return false;
    this.#request = request;
    return true;
  }
}
