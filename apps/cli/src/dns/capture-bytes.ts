import { DnsWireMessage } from "@cnilab/dns";
import { encodeMessage, MessageBytesError } from "./message-bytes.ts";

/** DNS is spelled out for Wireshark. */
export function captureBytes(message: unknown): Uint8Array | undefined {
  if (!(message instanceof DnsWireMessage)) return undefined;
  try {
    return encodeMessage(message.message);
  } catch (error) {
    if (error instanceof MessageBytesError) return undefined;
    throw error;
  }
}
