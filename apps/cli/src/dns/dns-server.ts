import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { InputError } from "@cnilab/core";
import type { DnsListener, DnsMessage } from "@cnilab/dns/server";
import { type IpAddress, tryParseIp } from "@cnilab/net";
import { encodeMessage, receive } from "./message-bytes.ts";

/** A TCP connection on which nobody asks anything for so long is closed, as CoreDNS has it. */
const IDLE_MS = 10_000;

/** Answers real DNS clients on one address and port, over UDP and TCP. */
export class DnsServer {
  readonly #listener: DnsListener;
  readonly #udp: UdpSocket;
  readonly #tcp: Server;
  readonly #connections = new Set<Socket>();

  constructor(listener: DnsListener, family: 4 | 6) {
    this.#listener = listener;
    this.#udp = createSocket({ type: family === 4 ? "udp4" : "udp6" });
    this.#udp.on("message", (bytes, { address, port }) => {
      const client = { address: addressOf(address), port, protocol: "udp" } as const;
      this.#answer(bytes, client, (reply) => this.#udp.send(reply, port, address, () => {}));
    });
    this.#tcp = createServer((socket) => this.#serve(socket));
  }

  /** Begins to listen, over both or not at all. @throws InputError where the port is taken or may not be had */
  async listen(address: string, port: number): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#udp.once("error", reject);
        this.#udp.bind({ address, port, exclusive: true }, resolve);
      });
      await new Promise<void>((resolve, reject) => {
        this.#tcp.once("error", reject);
        this.#tcp.listen({ host: address, port, exclusive: true }, resolve);
      });
    } catch (error) {
      this.close();
      throw cannotListen(error as NodeJS.ErrnoException, address, port);
    }
    // What a client does wrong, or a network that is gone, must not end the server.
    this.#udp.on("error", () => {});
    this.#tcp.on("error", () => {});
  }

  close(): void {
    try {
      this.#udp.close();
    } catch {
      // It never was open.
    }
    this.#tcp.close();
    for (const socket of this.#connections) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#connections.add(socket);
    socket.on("close", () => this.#connections.delete(socket));
    socket.on("error", () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    const client = {
      address: addressOf(socket.remoteAddress ?? ""),
      port: socket.remotePort ?? 0,
      protocol: "tcp",
    } as const;
    let bytes: Uint8Array = new Uint8Array();
    socket.on("data", (chunk: Uint8Array) => {
      bytes = Buffer.concat([bytes, chunk]);
      for (;;) {
        // Each message comes after its length in two bytes, RFC 1035 §4.2.2.
        const length =
          bytes.length < 2 ? undefined : ((bytes[0] as number) << 8) | (bytes[1] as number);
        if (length === undefined || bytes.length < 2 + length) return;
        const message = bytes.slice(2, 2 + length);
        bytes = bytes.slice(2 + length);
        this.#answer(message, client, (reply) => {
          if (socket.writable) socket.write(Buffer.concat([lengthOf(reply), reply]));
        });
      }
    });
  }

  #answer(
    bytes: Uint8Array,
    client: {
      readonly address: IpAddress;
      readonly port: number;
      readonly protocol: "udp" | "tcp";
    },
    reply: (bytes: Uint8Array) => void,
  ): void {
    const received = receive(bytes);
    if (received.kind === "reject") reply(received.reply);
    if (received.kind !== "query") return;
    this.#listener.handle(received.query, client, (answer: DnsMessage) =>
      reply(encodeMessage(answer)),
    );
  }
}

function lengthOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.of(bytes.length >> 8, bytes.length & 0xff);
}

function addressOf(text: string): IpAddress {
  const plain = text.replace(/%.*$/, "").replace(/^::ffff:(?=\d+\.)/, "");
  return tryParseIp(plain) ?? 0;
}

function cannotListen(
  { code, message }: NodeJS.ErrnoException,
  address: string,
  port: number,
): InputError {
  const where = `${address.includes(":") ? `[${address}]` : address}:${port}`;
  switch (code) {
    case "EADDRINUSE":
      return new InputError(
        "another program listens there already; choose another --port-offset",
        where,
      );
    case "EACCES":
      return new InputError(
        "only root may listen there; choose a --port-offset from 1024 on",
        where,
      );
    case "EADDRNOTAVAIL":
      return new InputError("this machine does not have that address; check --listen", where);
    default:
      return new InputError(`cannot listen there (${code ?? message})`, where);
  }
}
