import { formatEndpoint, type IpAddress, type Payload } from "@cnilab/net";
import type { NetNamespace } from "../net-namespace.ts";
import { ServerReport } from "./echo-server.ts";
import { Message } from "./message.ts";
import { TcpConnection, TcpListener } from "./tcp.ts";

/** A request as the server reads it. */
export class HttpRequest {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }
}

/** An answer: what a client looks at of it. */
export class HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;

  constructor(status: number, headers: Readonly<Record<string, string>>, body: string) {
    this.status = status;
    this.headers = headers;
    this.body = body;
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
 * Starts an HTTP server. Who sends it something else learns who answered, as from an echo server: a real one would say 400.
 * @throws KernelError EADDRINUSE
 */
export function startHttpServer(netns: NetNamespace, options: HttpServerOptions): TcpListener {
  const { respond, ...where } = options;
  return new TcpListener(netns, {
    ...where,
    onAccept: (connection) => {
      connection.onData = (data) => {
        const request = data instanceof Message ? data.message : undefined;
        if (!(request instanceof HttpRequest)) {
          connection.send(connection.maxSegmentSize, reportOn(connection));
          return;
        }
        const response = respond(request);
        connection.send(responseBytes(response), response);
      };
    },
  });
}

export interface HttpGetOptions {
  readonly dst: IpAddress;
  readonly port: number;
  readonly path: string;
  readonly owner: string;
  /** Virtual milliseconds after which the client gives up. */
  readonly timeoutMs: number;
  /** Whether nobody who waits for the world to be quiet waits for this. */
  readonly background?: boolean;
}

/**
 * Asks an HTTP server, and tells `done` once what came back: the answer, or `undefined` where none came in time. It does
 * not turn the clock: where the packets take their time, `done` comes later.
 */
export function httpGet(
  netns: NetNamespace,
  options: HttpGetOptions,
  done: (response: HttpResponse | undefined) => void,
): void {
  const { dst, port, path, owner, timeoutMs, background = false } = options;
  const connection = TcpConnection.connect(netns, { dst, port, owner });
  if ("errno" in connection) {
    done(undefined);
    return;
  }
  let waiting = true;
  const finish = (response?: HttpResponse) => {
    if (!waiting) return;
    waiting = false;
    timer.cancel();
    // Not before what brought the answer is done with: the goodbye takes its own packets there and back.
    if (connection.state === "ESTAB") netns.network.clock.schedule(0, () => connection.close());
    else connection.abandon();
    done(response);
  };
  const timer = netns.network.clock.schedule(timeoutMs, () => finish(), { background });
  connection.onData = (data: Payload) => {
    if (data instanceof Message && data.message instanceof HttpResponse) finish(data.message);
  };
  const ask = () => {
    const request = `GET ${path} HTTP/1.1\r\nHost: ${formatEndpoint(dst, port)}\r\n\r\n`;
    connection.send(request.length, new HttpRequest(path));
  };
  if (connection.state === "ESTAB") ask();
  else if (connection.state === "CLOSED") finish();
  else connection.onEstablished = ask;
}

function reportOn(connection: TcpConnection): ServerReport {
  return new ServerReport(
    connection.netns,
    connection.owner,
    [connection.localAddress, connection.localPort],
    [connection.remoteAddress, connection.remotePort],
  );
}

/** Length on the wire. */
function responseBytes({ headers, body }: HttpResponse): number {
  let length = "HTTP/1.1 200 OK\r\n\r\n".length + body.length;
  for (const [name, value] of Object.entries(headers)) length += name.length + value.length + 4;
  return length;
}
