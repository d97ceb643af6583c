import type { WireMessage } from "@cnilab/linux";
import type { DnsMessage } from "../message/message.ts";
import { messageLength } from "../message/message-length.ts";
import type { DnsProtocol } from "../transport.ts";

/** The length before a message on a stream, RFC 1035 §4.2.2. */
const LENGTH_BYTES = 2;

/** Records that a line about a message names. */
const MOST_RECORDS = 3;

/** A DNS message in a packet: what it says, and how many bytes that takes. */
export class DnsWireMessage implements WireMessage {
  readonly message: DnsMessage;
  readonly wireLength: number;

  constructor(message: DnsMessage, protocol: DnsProtocol) {
    this.message = message;
    this.wireLength = messageLength(message) + (protocol === "tcp" ? LENGTH_BYTES : 0);
  }

  /** As tcpdump has it: `A? web.shop.` and `NXDOMAIN web.shop.`. */
  toString(): string {
    const { flags, rcode, question, answer } = this.message;
    const { name = ".", type = "" } = question[0] ?? {};
    if (!flags.qr) return `${type}? ${name}`;
    const cut = flags.tc ? " (truncated)" : "";
    if (rcode !== "NOERROR") return `${rcode} ${type} ${name}${cut}`;
    const records = answer.slice(0, MOST_RECORDS).map((r) => `${r.type} ${r.data}`);
    const more = answer.length > MOST_RECORDS ? ` and ${answer.length - MOST_RECORDS} more` : "";
    return `${name} ${records.join(", ") || `no ${type}`}${more}${cut}`;
  }
}
