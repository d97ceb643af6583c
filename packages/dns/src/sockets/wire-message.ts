import type { WireMessage } from "@cnilab/linux";
import type { DnsMessage } from "../message/message.ts";
import { messageLength } from "../message/message-length.ts";
import type { DnsProtocol } from "../transport.ts";

/** The length before a message on a stream, RFC 1035 §4.2.2. */
const LENGTH_BYTES = 2;

/** A DNS message in a packet: what it says, and how many bytes that takes. */
export class DnsWireMessage implements WireMessage {
  readonly message: DnsMessage;
  readonly wireLength: number;

  constructor(message: DnsMessage, protocol: DnsProtocol) {
    this.message = message;
    this.wireLength = messageLength(message) + (protocol === "tcp" ? LENGTH_BYTES : 0);
  }
}
