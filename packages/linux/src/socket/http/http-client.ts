import type { Timer } from "@cnilab/core";
import { formatEndpoint, type IpAddress, type Payload } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import type { Trace } from "../../trace.ts";
import { MessageReader, say } from "../conversation.ts";
import type { SocketError } from "../socket.ts";
import { TcpConnection, type TcpConnectOptions } from "../tcp.ts";
import {
  type Certificate,
  ClientHello,
  certificateCovers,
  ServerHello,
  TlsAlert,
  TlsApplicationData,
  TlsFinished,
} from "../tls.ts";
import { headerOf } from "./headers.ts";
import { type HttpRequest, HttpResponse } from "./http-message.ts";

/** Why there is no answer. */
export class HttpFailure {
  /** How far it came: no connection, no handshake, no answer. */
  readonly stage: "connect" | "tls" | "answer";
  readonly message: string;
  /** What the socket says; `undefined` where it was the client who gave up, or did not like the certificate. */
  readonly error: SocketError | undefined;
  readonly timedOut: boolean;
  /** The certificate that is not for the host. */
  readonly certificate: Certificate | undefined;

  constructor(
    stage: HttpFailure["stage"],
    message: string,
    more: {
      readonly error?: SocketError | undefined;
      readonly timedOut?: boolean;
      readonly certificate?: Certificate | undefined;
    } = {},
  ) {
    this.stage = stage;
    this.message = message;
    this.error = more.error;
    this.timedOut = more.timedOut ?? more.error?.errno === "ETIMEDOUT";
    this.certificate = more.certificate;
  }
}

export interface HttpConnectOptions {
  readonly dst: IpAddress;
  readonly port: number;
  readonly owner: string;
  /** Source, mark and the like of its connection. */
  readonly socket?: Pick<TcpConnectOptions, "src" | "localPort" | "mark" | "transparent">;
  /** Speaks TLS where it is there. */
  readonly tls?: {
    /** Sent as SNI; `undefined` where the host is an address, for which there is none. */
    readonly serverName: string | undefined;
    /** The certificate must be for this host; `undefined` takes any (`curl --insecure`). */
    readonly verifyHost: string | undefined;
  };
  /** Virtual milliseconds for the connection and its handshake. */
  readonly connectTimeoutMs: number;
  readonly trace?: Trace | undefined;
  /** Whether nobody who waits for the world to be quiet waits for this. */
  readonly background?: boolean;
}

/**
 * A client's connection to an HTTP server. It does not turn the clock: where packets take their time, answers come later.
 */
export class HttpClientConnection {
  readonly connection: TcpConnection;
  readonly #options: HttpConnectOptions;
  readonly #reader = new MessageReader();
  /** The server's, once it has shown one. */
  certificate: Certificate | undefined;
  #secure = false;
  #timer: Timer | undefined;
  /** Who waits: for the connection, or for an answer. */
  #stage: HttpFailure["stage"] = "connect";
  #opened: ((result: HttpClientConnection | HttpFailure) => void) | undefined;
  #answered: ((result: HttpResponse | HttpFailure) => void) | undefined;

  private constructor(connection: TcpConnection, options: HttpConnectOptions) {
    this.connection = connection;
    this.#options = options;
  }

  /** Connects, and tells `done` once what came of it. */
  static open(
    netns: NetNamespace,
    options: HttpConnectOptions,
    done: (result: HttpClientConnection | HttpFailure) => void,
  ): void {
    const { dst, port, owner, trace, socket } = options;
    const connection = TcpConnection.connect(netns, { ...socket, dst, port, owner, trace });
    if ("errno" in connection) {
      done(new HttpFailure("connect", connection.message, { error: connection }));
      return;
    }
    const client = new HttpClientConnection(connection, options);
    client.#opened = done;
    client.#wait(options.connectTimeoutMs);
    connection.onData = (data) => client.#heard(data);
    connection.onEnd = () => client.#ended();
    if (connection.state === "ESTAB") client.#established();
    else if (connection.state === "CLOSED") client.#ended();
    else connection.onEstablished = () => client.#established();
  }

  get usable(): boolean {
    return this.connection.state === "ESTAB" && this.#answered === undefined;
  }

  /** Sends a request, and tells `done` once what came back. */
  ask(
    request: HttpRequest,
    timeoutMs: number,
    done: (result: HttpResponse | HttpFailure) => void,
  ): void {
    this.#stage = "answer";
    this.#answered = done;
    this.#wait(timeoutMs);
    say(this.connection, this.#secure ? new TlsApplicationData(request) : request);
  }

  /** Says goodbye once what is under way now is done with: it takes its own packets there and back. */
  close(): void {
    this.#timer?.cancel();
    this.connection.onEnd = undefined;
    if (this.connection.state === "ESTAB") {
      this.connection.netns.network.clock.schedule(0, () => this.connection.close(), {
        background: this.#options.background ?? false,
      });
    } else {
      this.connection.abandon();
    }
  }

  #wait(timeoutMs: number): void {
    const { clock } = this.connection.netns.network;
    const { background = false } = this.#options;
    this.#timer?.cancel();
    this.#timer = clock.schedule(timeoutMs, () => this.#fail("no answer in time", true), {
      background,
    });
  }

  #established(): void {
    const { tls } = this.#options;
    if (tls === undefined) {
      this.#open();
      return;
    }
    this.#stage = "tls";
    say(this.connection, new ClientHello(tls.serverName));
  }

  #open(): void {
    this.#timer?.cancel();
    const done = this.#opened;
    this.#opened = undefined;
    done?.(this);
  }

  #heard(data: Payload): void {
    const message = this.#reader.take(data);
    if (message instanceof ServerHello) this.#trusts(message.certificate);
    else if (message instanceof TlsAlert) {
      this.#fail(`the server refused the handshake: TLS alert ${message.description}`);
    } else if (message instanceof TlsApplicationData) this.#answer(message.content);
    else this.#answer(message);
  }

  #trusts(certificate: Certificate): void {
    this.certificate = certificate;
    const host = this.#options.tls?.verifyHost;
    if (host !== undefined && !certificateCovers(certificate, host)) {
      const names = certificate.names.join(", ") || "nobody";
      this.#fail(`the certificate of ${certificate.source} is for ${names}, not for ${host}`);
      return;
    }
    this.#secure = true;
    say(this.connection, new TlsFinished());
    this.#open();
  }

  #answer(message: unknown): void {
    if (!(message instanceof HttpResponse)) return;
    if (this.#stage === "tls") {
      this.#fail("the server does not speak TLS on this port: it answered in plain HTTP");
      return;
    }
    this.#timer?.cancel();
    const done = this.#answered;
    this.#answered = undefined;
    if (headerOf(message.headers, "Connection")?.toLowerCase() === "close") this.close();
    done?.(message);
  }

  #ended(): void {
    const { error } = this.connection;
    if (error === undefined) this.#fail("the server closed the connection");
    else this.#fail(error.message, false, error);
  }

  #fail(message: string, timedOut = false, error?: SocketError): void {
    this.#timer?.cancel();
    const failure = new HttpFailure(this.#stage, this.#inWords(message, timedOut, error), {
      // What ICMP said meanwhile tells more than the clock.
      error: error ?? (timedOut ? this.connection.softError : undefined),
      timedOut,
      certificate: this.certificate,
    });
    const [opened, answered] = [this.#opened, this.#answered];
    this.#opened = undefined;
    this.#answered = undefined;
    this.close();
    opened?.(failure);
    answered?.(failure);
  }

  #inWords(message: string, timedOut: boolean, error: SocketError | undefined): string {
    const where = formatEndpoint(this.#options.dst, this.#options.port);
    if (timedOut) return `no answer from ${where} in time`;
    return error === undefined ? message : `${error.errno} (${message}) from ${where}`;
  }
}
