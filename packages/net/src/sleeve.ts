import type { EthernetFrame } from "./ethernet.ts";
import type { Mac } from "./mac.ts";
import type { Payload } from "./payload.ts";

/** Bytes of a peer's name, 48 bits that are written as a MAC. */
const NAME_LENGTH = 6;
/** Bytes before each frame: who sent it, whom it is for, its length. */
export const SLEEVE_FRAME_OVERHEAD: number = 2 * NAME_LENGTH + 2;
/** Bytes before the frames of a packet that is not encrypted: who sends it. */
export const SLEEVE_PACKET_OVERHEAD: number = NAME_LENGTH;
/** The same, encrypted: a sequence number that is part of the nonce, and the tag of NaCl's secretbox. */
export const SLEEVE_SEALED_OVERHEAD: number = NAME_LENGTH + 8 + 16;

/** A frame of the network on its way between two peers, which need not be those that the packet goes between. */
export interface SleeveFrame {
  readonly src: Mac;
  readonly dst: Mac;
  readonly frame: EthernetFrame;
  /** Which packet of a trace it is: nothing on the wire, but who follows it wants to know; `undefined` where nobody does. */
  readonly number: number | undefined;
}

/** How a packet is encrypted: nothing is, but who has another key cannot read it. */
export interface SleeveSeal {
  /** Stands for the key that both ends of a connection have. */
  readonly session: bigint;
  /** Counted apart for packets that may be cut on the way and those that may not. */
  readonly sequence: number;
  readonly dontFragment: boolean;
}

/** Weave's sleeve in UDP: one or more frames between peers (weave router/sleeve.go, router/frame_crypto.go). */
export class SleevePacket implements Payload {
  /** The peer that sends the packet. */
  readonly sender: Mac;
  readonly frames: readonly SleeveFrame[];
  readonly seal: SleeveSeal | undefined;

  constructor(sender: Mac, frames: readonly SleeveFrame[], seal: SleeveSeal | undefined) {
    this.sender = sender;
    this.frames = frames;
    this.seal = seal;
  }

  get length(): number {
    let length = this.seal === undefined ? SLEEVE_PACKET_OVERHEAD : SLEEVE_SEALED_OVERHEAD;
    for (const { frame } of this.frames) length += SLEEVE_FRAME_OVERHEAD + frame.length;
    return length;
  }

  clone(): SleevePacket {
    const frames = this.frames.map((carried) => ({ ...carried, frame: carried.frame.clone() }));
    return new SleevePacket(this.sender, frames, this.seal);
  }
}
