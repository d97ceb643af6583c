import type { Skb, Trace } from "@cnilab/linux";
import { SLEEVE_FRAME_OVERHEAD, type SleeveFrame } from "@cnilab/net";

/** A frame that waits to be sent. */
export interface QueuedFrame {
  readonly carried: SleeveFrame;
  /** The frame as it was captured; `undefined` for one of weave's own. */
  readonly origin: Skb | undefined;
}

/** After so many frames whatever there is leaves, though more may wait (`aggregateAndSend`). */
const FRAMES_AT_ONCE = 100;

/** Frames that leave for one peer, as many in one packet as came in one moment and have room. */
export class FrameQueue {
  readonly #frames: QueuedFrame[] = [];

  get isEmpty(): boolean {
    return this.#frames.length === 0;
  }

  add(frame: QueuedFrame): void {
    this.#frames.push(frame);
  }

  /**
   * Takes the frames of the next packet.
   * @param overhead bytes of the packet besides its frames
   * @param limit bytes that the first frame may fill
   * @param room bytes that several may fill together: no packet is filled so that it must be cut
   * @returns frames, or one that is too big for any packet
   */
  take(overhead: number, limit: number, room: number): QueuedFrame[] | { tooBig: QueuedFrame } {
    const first = this.#frames.shift() as QueuedFrame;
    let length = overhead + sizeOf(first);
    if (length > limit) return { tooBig: first };
    const taken = [first];
    while (taken.length < FRAMES_AT_ONCE) {
      const next = this.#frames[0];
      if (next === undefined || length + sizeOf(next) > room) break;
      length += sizeOf(next);
      taken.push(next);
      this.#frames.shift();
    }
    return taken;
  }
}

/** The trace that a packet of these frames is part of: one packet has one. */
export function traceOf(frames: readonly QueuedFrame[]): Trace | undefined {
  for (const { origin } of frames) if (origin?.trace !== undefined) return origin.trace;
  return undefined;
}

function sizeOf({ carried }: QueuedFrame): number {
  return SLEEVE_FRAME_OVERHEAD + carried.frame.length;
}
