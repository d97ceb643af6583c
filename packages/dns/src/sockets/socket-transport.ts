import {
  Message,
  MessageReader,
  messageOf,
  type NetNamespace,
  type SocketError,
  say,
  TcpConnection,
  type Trace,
  UdpSocket,
} from "@cnilab/linux";
import type { DnsMessage } from "../message/message.ts";
import type { DnsFailure, DnsServerAddress, DnsSocket, DnsTransport } from "../transport.ts";
import { DnsWireMessage } from "./wire-message.ts";

type Receive = (result: DnsMessage | DnsFailure) => void;

/** Asks DNS servers from a namespace, by packets. */
export class SocketTransport implements DnsTransport {
  readonly #netns: NetNamespace;
  readonly #owner: string;
  readonly #trace: Trace | undefined;
  readonly #streams = new Set<StreamSocket>();

  /** @param trace of all that is asked */
  constructor(netns: NetNamespace, owner: string, trace?: Trace) {
    this.#netns = netns;
    this.#owner = owner;
    this.#trace = trace;
  }

  open(server: DnsServerAddress, receive: (result: DnsMessage | DnsFailure) => void): DnsSocket {
    if (server.protocol === "udp") {
      return new DatagramSocket(this.#netns, this.#owner, server, receive, this.#trace);
    }
    const stream = new StreamSocket(this.#netns, this.#owner, server, receive, this.#trace, () =>
      this.#streams.delete(stream),
    );
    this.#streams.add(stream);
    return stream;
  }

  /** Ends all connections, and tells those who have them. */
  hangUp(): void {
    for (const stream of [...this.#streams]) stream.hangUp();
  }
}

class DatagramSocket implements DnsSocket {
  readonly #server: DnsServerAddress;
  readonly #receive: Receive;
  readonly #trace: Trace | undefined;
  readonly #socket: UdpSocket;
  #closed = false;

  constructor(
    netns: NetNamespace,
    owner: string,
    server: DnsServerAddress,
    receive: Receive,
    trace: Trace | undefined,
  ) {
    this.#server = server;
    this.#receive = receive;
    this.#trace = trace;
    this.#socket = new UdpSocket(netns, {
      remoteAddress: server.address,
      remotePort: server.port,
      owner,
      onReceive: ({ payload }) => {
        const message = messageOf(payload);
        if (message instanceof DnsWireMessage) this.#heard(message.message);
      },
      // A resolver asks for ICMP errors (glibc resolv/res_enable_icmp.c), but what was too long goes in pieces the next time.
      onError: (error) => {
        if (error.errno !== "EMSGSIZE") this.#heard(failureOf(error));
      },
    });
  }

  send(query: DnsMessage): void {
    const wire = new DnsWireMessage(query, "udp");
    const { address, port } = this.#server;
    const payload = new Message(wire.wireLength, wire);
    const error = this.#socket.sendTo(address, port, payload, { trace: this.#trace });
    if (error !== undefined) this.#heard(failureOf(error));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }

  #heard(result: DnsMessage | DnsFailure): void {
    if (!this.#closed) this.#receive(result);
  }
}

class StreamSocket implements DnsSocket {
  readonly #receive: Receive;
  readonly #gone: () => void;
  readonly #connection: TcpConnection | undefined;
  readonly #reader = new MessageReader();
  /** Queries that wait for the connection. */
  #waiting: DnsMessage[] | undefined;
  #failure: DnsFailure | undefined;
  #told = false;
  #closed = false;

  constructor(
    netns: NetNamespace,
    owner: string,
    server: DnsServerAddress,
    receive: Receive,
    trace: Trace | undefined,
    gone: () => void,
  ) {
    this.#gone = gone;
    this.#receive = receive;
    const { address: dst, port } = server;
    const connection = TcpConnection.connect(netns, { dst, port, owner, trace });
    if ("errno" in connection) {
      this.#connection = undefined;
      this.#failure = failureOf(connection);
      return;
    }
    this.#connection = connection;
    connection.onData = (data) => {
      const message = this.#reader.take(data);
      if (message instanceof DnsWireMessage && !this.#closed) this.#receive(message.message);
    };
    connection.onEnd = () => this.#failed(connection.error);
    if (connection.state === "ESTAB") return;
    if (connection.state === "CLOSED") {
      this.#failure = failureOf(connection.error);
      return;
    }
    this.#waiting = [];
    connection.onEstablished = () => {
      const waiting = this.#waiting ?? [];
      this.#waiting = undefined;
      for (const query of waiting) this.send(query);
    };
  }

  send(query: DnsMessage): void {
    if (this.#failure !== undefined) this.#tell();
    else if (this.#waiting !== undefined) this.#waiting.push(query);
    else if (this.#connection !== undefined) {
      say(this.#connection, new DnsWireMessage(query, "tcp"));
    }
  }

  /** Says goodbye once what is under way now is done with: it takes its own packets there and back. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#gone();
    const connection = this.#connection;
    if (connection === undefined) return;
    connection.onEnd = undefined;
    if (connection.state !== "ESTAB") connection.abandon();
    else connection.netns.network.clock.schedule(0, () => connection.close());
  }

  /** Says goodbye at once. */
  hangUp(): void {
    this.#gone();
    if (this.#connection !== undefined) {
      this.#connection.onEnd = undefined;
      this.#connection.close();
    }
    this.#failed(undefined);
  }

  #failed(error: SocketError | undefined): void {
    this.#failure = failureOf(error);
    this.#tell();
  }

  #tell(): void {
    if (this.#told || this.#closed || this.#failure === undefined) return;
    this.#told = true;
    this.#receive(this.#failure);
  }
}

/** A server that hangs up is as good as one that refuses. */
function failureOf(error: SocketError | undefined): DnsFailure {
  switch (error?.errno) {
    case undefined:
    case "ECONNREFUSED":
    case "ECONNRESET":
      return "refused";
    default:
      return "unreachable";
  }
}
