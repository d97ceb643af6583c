import type { Payload } from "@cnilab/net";
import { Message } from "./message.ts";
import type { TcpConnection } from "./tcp.ts";

/** Something that a program says over a connection. */
export interface WireMessage {
  /** Bytes on the wire, at least 1. */
  readonly wireLength: number;
  /** What it is, in a word or two. */
  toString(): string;
}

/**
 * Puts messages together again out of a connection's segments, each of which brings along the message that it is a part
 * of. One reader for each direction of a connection.
 */
export class MessageReader {
  #current: unknown;
  #received = 0;

  /** The message that is whole with this piece; `undefined` while more is to come. What is no message comes back as it is. */
  take(data: Payload): unknown {
    const message = messageOf(data);
    if (!isWireMessage(message)) return data;
    if (message !== this.#current) {
      this.#current = message;
      this.#received = 0;
    }
    this.#received += data.length;
    if (this.#received < message.wireLength) return undefined;
    this.#current = undefined;
    return message;
  }
}

/** Says something; it leaves in full-sized segments. */
export function say(connection: TcpConnection, message: WireMessage): void {
  connection.send(message.wireLength, message);
}

/** What a piece of data means; `undefined` where it is only bytes. */
export function messageOf(data: Payload): unknown {
  return data instanceof Message ? data.message : undefined;
}

export function isWireMessage(message: unknown): message is WireMessage {
  return typeof message === "object" && message !== null && "wireLength" in message;
}
