import type { IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import { MessageReader, say, type WireMessage } from "../conversation.ts";
import { fullSegment, RequestPieces } from "../full-segment.ts";
import { ServerReport } from "../server-report.ts";
import { type TcpConnection, TcpListener } from "../tcp.ts";
import {
  type Certificate,
  ClientHello,
  ServerHello,
  TlsAlert,
  TlsApplicationData,
  TlsFinished,
} from "../tls.ts";
import { HttpRequest, HttpResponse } from "./http-message.ts";

/** A request as a server has it before it. */
export interface ReceivedRequest {
  readonly request: HttpRequest;
  readonly scheme: "http" | "https";
  /** The name that the client asked for in its handshake. */
  readonly serverName: string | undefined;
  readonly connection: TcpConnection;
}

export interface HttpService {
  /** Answers a request, now or later. */
  readonly handle: (received: ReceivedRequest, answer: (response: HttpResponse) => void) => void;
  /** Ends TLS where it is there: the certificate for a server name; `undefined` refuses the handshake. */
  readonly certificateFor?:
    | ((serverName: string | undefined) => Certificate | undefined)
    | undefined;
}

/**
 * Serves HTTP on an accepted connection, one request after the other (keep-alive is HTTP/1.1's default). Who sends something
 * else learns who answered, as from an echo server: a real one would say 400.
 */
export function serveHttp(connection: TcpConnection, service: HttpService): void {
  const session = new HttpSession(connection, service);
  connection.onData = (data) => session.heard(data);
}

class HttpSession {
  readonly #connection: TcpConnection;
  readonly #service: HttpService;
  readonly #reader = new MessageReader();
  /** Requests that wait for the answer to the one before. */
  readonly #waiting: HttpRequest[] = [];
  #busy = false;
  #hello: ClientHello | undefined;
  #secure = false;
  readonly #pieces = new RequestPieces();

  constructor(connection: TcpConnection, service: HttpService) {
    this.#connection = connection;
    this.#service = service;
  }

  heard(data: Parameters<MessageReader["take"]>[0]): void {
    const message = this.#reader.take(data);
    if (message === undefined) return;
    const isTls = this.#service.certificateFor !== undefined;
    if (message instanceof ClientHello) {
      if (isTls) this.#shakeHands(message);
      else this.#refuse("this port does not speak TLS");
    } else if (message instanceof TlsFinished) {
      this.#secure = this.#hello !== undefined;
    } else if (message instanceof TlsApplicationData) {
      if (this.#secure && message.content instanceof HttpRequest) this.#take(message.content);
    } else if (message instanceof HttpRequest) {
      // As nginx says it (status 497 within, 400 without).
      if (isTls) this.#refuse("The plain HTTP request was sent to HTTPS port");
      else this.#take(message);
    } else if (this.#pieces.isFirst(data)) {
      this.#connection.send(fullSegment(this.#connection), ServerReport.of(this.#connection));
    }
  }

  #shakeHands(hello: ClientHello): void {
    const certificate = this.#service.certificateFor?.(hello.serverName);
    if (certificate === undefined) {
      say(this.#connection, new TlsAlert("unrecognized_name"));
      this.#connection.netns.network.clock.schedule(0, () => this.#connection.close());
      return;
    }
    this.#hello = hello;
    say(this.#connection, new ServerHello(certificate));
  }

  #refuse(why: string): void {
    const headers = { "Content-Type": "text/plain", Connection: "close" };
    const note = ServerReport.of(this.#connection);
    say(this.#connection, new HttpResponse(400, headers, `${why}\n`, [note]));
  }

  #take(request: HttpRequest): void {
    this.#waiting.push(request);
    if (!this.#busy) this.#next();
  }

  #next(): void {
    const request = this.#waiting.shift();
    this.#busy = request !== undefined;
    if (request === undefined) return;
    const connection = this.#connection;
    const received: ReceivedRequest = {
      request,
      scheme: this.#secure ? "https" : "http",
      serverName: this.#hello?.serverName,
      connection,
    };
    let answered = false;
    this.#service.handle(received, (response) => {
      if (answered) throw new Error(`${request} was answered twice`);
      answered = true;
      if (connection.state === "ESTAB") this.#send(response);
      this.#next();
    });
  }

  #send(response: WireMessage): void {
    say(this.#connection, this.#secure ? new TlsApplicationData(response) : response);
  }
}

export interface HttpServerOptions {
  /** `undefined` for all addresses. */
  readonly address?: IpAddress | undefined;
  readonly port: number;
  readonly owner: string;
  readonly respond: (request: HttpRequest) => HttpResponse;
}

/**
 * Starts an HTTP server.
 * @throws KernelError EADDRINUSE
 */
export function startHttpServer(netns: NetNamespace, options: HttpServerOptions): TcpListener {
  const { respond, ...where } = options;
  const service: HttpService = { handle: ({ request }, answer) => answer(respond(request)) };
  return new TcpListener(netns, {
    ...where,
    onAccept: (connection) => serveHttp(connection, service),
  });
}
