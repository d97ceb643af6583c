import { type DnsMessage, DnsWireMessage } from "@cnilab/dns";
import {
  Message,
  MessageReader,
  messageOf,
  type NetNamespace,
  TcpConnection,
  type Trace,
  UdpSocket,
} from "@cnilab/linux";
import { formatEndpoint, IPPROTO_TCP, type Payload } from "@cnilab/net";
import type { ProxiedEnds } from "../proxy-environment.ts";

/** Where questions go, and from whom. */
export interface UpstreamEnds extends ProxiedEnds {
  /** From the client's own address and port (`dnsproxy-enable-transparent-mode`). */
  readonly transparent: boolean;
  readonly mark: number;
}

export type UpstreamResult = DnsMessage | "failed" | "timeout";

type Receive = (result: DnsMessage | "failed") => void;

/**
 * The proxy's sockets towards servers. What one port of a client asks one server goes by one socket, as only one can have those
 * addresses (pkg/fqdn/dnsproxy shared_client.go); it closes with the last question.
 */
export class DnsUpstreams {
  readonly #netns: NetNamespace;
  readonly #owner: string;
  readonly #shared = new Map<string, Upstream>();
  readonly #all = new Set<Upstream>();

  constructor(netns: NetNamespace, owner: string) {
    this.#netns = netns;
    this.#owner = owner;
  }

  /** @returns how to wait no longer */
  ask(
    message: DnsMessage,
    ends: UpstreamEnds,
    trace: Trace | undefined,
    done: (result: DnsMessage | "failed") => void,
  ): () => void {
    return this.#upstream(ends, trace).ask(message, trace, done);
  }

  /** Something that is no question; whatever comes back is handed to `answer`. */
  passOn(
    payload: Payload,
    ends: UpstreamEnds,
    trace: Trace | undefined,
    answer: (payload: Payload) => void,
  ): void {
    this.#upstream(ends, trace).passOn(payload, trace, answer);
  }

  /** The client has closed its connection. */
  hangUp(ends: ProxiedEnds): void {
    this.#shared.get(keyOf(ends))?.close();
  }

  close(): void {
    for (const upstream of [...this.#all]) upstream.close();
  }

  #upstream(ends: UpstreamEnds, trace: Trace | undefined): Upstream {
    const key = keyOf(ends);
    const known = ends.transparent ? this.#shared.get(key) : undefined;
    if (known !== undefined) return known;
    const upstream: Upstream = new Upstream(this.#netns, this.#owner, ends, trace, () => {
      this.#all.delete(upstream);
      if (this.#shared.get(key) === upstream) this.#shared.delete(key);
    });
    this.#all.add(upstream);
    if (ends.transparent) this.#shared.set(key, upstream);
    return upstream;
  }
}

function keyOf({ protocol, client, clientPort, server, serverPort }: ProxiedEnds): string {
  return `${protocol}-${formatEndpoint(client, clientPort)}-${formatEndpoint(server, serverPort)}`;
}

/** One socket, and who waits for answers on it. */
class Upstream {
  readonly #ends: UpstreamEnds;
  readonly #onClose: () => void;
  readonly #waiting = new Map<number, Receive>();
  #raw: ((payload: Payload) => void) | undefined;
  #udp: UdpSocket | undefined;
  #tcp: TcpConnection | undefined;
  /** What was said before the connection stood. */
  #pending: (() => void)[] | undefined;
  #failed = false;
  #closed = false;

  constructor(
    netns: NetNamespace,
    owner: string,
    ends: UpstreamEnds,
    trace: Trace | undefined,
    onClose: () => void,
  ) {
    this.#ends = ends;
    this.#onClose = onClose;
    const { protocol, client, clientPort, server, serverPort, transparent, mark } = ends;
    if (protocol === IPPROTO_TCP) {
      const source = transparent && { src: client, localPort: clientPort };
      this.#connect(netns, {
        ...source,
        dst: server,
        port: serverPort,
        owner,
        transparent,
        mark,
        trace,
      });
      return;
    }
    this.#udp = new UdpSocket(netns, {
      ...(transparent && { localAddress: client, localPort: clientPort }),
      remoteAddress: server,
      remotePort: serverPort,
      owner,
      transparent,
      mark,
      trace,
      onReceive: ({ payload }) => this.#heard(payload),
      onError: (error) => {
        if (error.errno !== "EMSGSIZE") this.#fail();
      },
    });
  }

  #connect(netns: NetNamespace, options: Parameters<typeof TcpConnection.connect>[1]): void {
    this.#pending = [];
    const reader = new MessageReader();
    const connection = TcpConnection.connect(netns, {
      ...options,
      prepare: (made) => {
        this.#tcp = made;
        made.onData = (data) => {
          const message = reader.take(data);
          if (message instanceof DnsWireMessage) this.#answered(message.message);
          else if (message !== undefined) this.#raw?.(data);
        };
        made.onEnd = () => this.#fail();
        made.onEstablished = () => {
          const pending = this.#pending ?? [];
          this.#pending = undefined;
          for (const send of pending) send();
        };
      },
    });
    if ("errno" in connection) this.#failed = true;
  }

  ask(message: DnsMessage, trace: Trace | undefined, done: Receive): () => void {
    let { id } = message;
    while (this.#waiting.has(id)) id = (id + 1) & 0xffff;
    this.#waiting.set(id, done);
    const protocol = this.#udp === undefined ? "tcp" : "udp";
    const wire = new DnsWireMessage(id === message.id ? message : { ...message, id }, protocol);
    this.#say(new Message(wire.wireLength, wire), trace);
    return () => {
      this.#waiting.delete(id);
      // A connection stays as long as the client's own.
      if (this.#waiting.size === 0 && (this.#udp !== undefined || !this.#ends.transparent)) {
        this.close();
      }
    };
  }

  passOn(payload: Payload, trace: Trace | undefined, answer: (payload: Payload) => void): void {
    this.#raw = answer;
    this.#say(payload, trace);
    // Nobody says when it is over: what was sent at once has run to its end.
    if (this.#udp !== undefined && this.#waiting.size === 0) this.close();
  }

  #say(payload: Payload, trace: Trace | undefined): void {
    if (this.#failed) {
      this.#fail();
      return;
    }
    const { server, serverPort } = this.#ends;
    if (this.#udp !== undefined) {
      const error = this.#udp.sendTo(server, serverPort, payload, { trace });
      if (error !== undefined) this.#fail();
      return;
    }
    const send = () => this.#tcp?.send(payload.length, messageOf(payload));
    if (this.#pending === undefined) send();
    else this.#pending.push(send);
  }

  #heard(payload: Payload): void {
    const message = messageOf(payload);
    if (message instanceof DnsWireMessage) this.#answered(message.message);
    else this.#raw?.(payload);
  }

  #answered(message: DnsMessage): void {
    this.#waiting.get(message.id)?.(message);
  }

  #fail(): void {
    this.#failed = true;
    for (const done of [...this.#waiting.values()]) done("failed");
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClose();
    this.#udp?.close();
    const tcp = this.#tcp;
    if (tcp === undefined) return;
    tcp.onEnd = undefined;
    if (tcp.state !== "ESTAB") tcp.abandon();
    else tcp.netns.network.clock.schedule(0, () => tcp.close());
  }
}
