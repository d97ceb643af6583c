import { formatEndpoint, type Payload } from "@cnilab/net";
import { fullSegment } from "../full-segment.ts";
import { ServerReport } from "../server-report.ts";
import type { TcpConnection } from "../tcp.ts";
import { type HttpRequest, HttpResponse } from "./http-message.ts";
import { type HttpService, type ReceivedRequest, serveHttp } from "./http-server.ts";

/** What an echo server notes on its answer: who it is, whom it saw, and what it was asked. */
export class EchoedRequest {
  readonly report: ServerReport;
  readonly request: HttpRequest;
  readonly scheme: "http" | "https";

  constructor({ connection, request, scheme }: ReceivedRequest) {
    this.report = ServerReport.of(connection);
    this.request = request;
    this.scheme = scheme;
  }
}

/**
 * Lets an echo server go on in HTTP on a connection that has begun with it: every request is answered with a 200 that fills a
 * segment at least, so that full-sized packets have to find the way back.
 * @param data the first that was said
 */
export function echoHttp(connection: TcpConnection, tls: boolean, data: Payload): void {
  const service: HttpService = {
    handle: (received, answer) => answer(echo(received)),
    // It has a certificate for every name: what the real one's is for is not in the input.
    ...(tls && {
      certificateFor: (serverName) => ({
        names: serverName === undefined ? [] : [serverName],
        source: connection.owner,
      }),
    }),
  };
  serveHttp(connection, service);
  connection.onData?.(data, connection);
}

function echo(received: ReceivedRequest): HttpResponse {
  const { request, connection, scheme } = received;
  const body = JSON.stringify({
    server: connection.owner,
    address: formatEndpoint(connection.localAddress, connection.localPort),
    client: formatEndpoint(connection.remoteAddress, connection.remotePort),
    scheme,
    method: request.method,
    host: request.host,
    path: request.target,
    headers: request.headers,
  });
  const headers = { "Content-Type": "application/json" };
  const length = Math.max(body.length, fullSegment(connection));
  return new HttpResponse(200, headers, body, [new EchoedRequest(received)], length);
}
