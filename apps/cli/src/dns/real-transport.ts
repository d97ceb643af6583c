import { createSocket } from "node:dgram";
import { connect } from "node:net";
import type {
  DnsFailure,
  DnsMessage,
  DnsServerAddress,
  DnsSocket,
  DnsTransport,
} from "@cnilab/dns/server";
import { familyOf, formatIp } from "@cnilab/net";
import { decodeMessage, encodeMessage, MessageBytesError } from "./message-bytes.ts";

/** Reaches servers of the real network. */
export class RealTransport implements DnsTransport {
  open(server: DnsServerAddress, receive: (result: DnsMessage | DnsFailure) => void): DnsSocket {
    return server.protocol === "udp" ? openUdp(server, receive) : openTcp(server, receive);
  }
}

function openUdp(
  { address, port }: DnsServerAddress,
  receive: (result: DnsMessage | DnsFailure) => void,
): DnsSocket {
  const socket = createSocket(familyOf(address) === 4 ? "udp4" : "udp6");
  const waiting: Uint8Array[] = [];
  let connected = false;
  socket.on("message", (bytes) => receiveBytes(bytes, receive));
  socket.on("error", (error) => receive(failureOf(error)));
  socket.on("connect", () => {
    connected = true;
    for (const bytes of waiting.splice(0)) socket.send(bytes);
  });
  socket.connect(port, formatIp(address));
  socket.unref();
  return {
    send: (query) => {
      const bytes = encodeMessage(query);
      if (connected) socket.send(bytes);
      else waiting.push(bytes);
    },
    close: () => {
      receive = () => {};
      socket.close();
    },
  };
}

function openTcp(
  { address, port }: DnsServerAddress,
  receive: (result: DnsMessage | DnsFailure) => void,
): DnsSocket {
  const socket = connect({ host: formatIp(address), port });
  let bytes: Uint8Array = new Uint8Array();
  socket.on("data", (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      const length =
        bytes.length < 2 ? undefined : ((bytes[0] as number) << 8) | (bytes[1] as number);
      if (length === undefined || bytes.length < 2 + length) return;
      const message = bytes.slice(2, 2 + length);
      bytes = bytes.slice(2 + length);
      receiveBytes(message, receive);
    }
  });
  socket.on("error", (error) => receive(failureOf(error)));
  socket.on("end", () => receive("refused"));
  return {
    send: (query) => {
      const message = encodeMessage(query);
      socket.write(
        Buffer.concat([Uint8Array.of(message.length >> 8, message.length & 0xff), message]),
      );
    },
    close: () => {
      receive = () => {};
      socket.destroy();
    },
  };
}

/** Bytes that are no message are not an answer: whoever waits goes on waiting. */
function receiveBytes(bytes: Uint8Array, receive: (result: DnsMessage) => void): void {
  let message: DnsMessage;
  try {
    message = decodeMessage(bytes);
  } catch (error) {
    if (error instanceof MessageBytesError) return;
    throw error;
  }
  receive(message);
}

function failureOf(error: NodeJS.ErrnoException): DnsFailure {
  return error.code === "ECONNREFUSED" || error.code === "ECONNRESET" ? "refused" : "unreachable";
}
