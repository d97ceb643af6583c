import { formatEndpoint, type IpAddress } from "@cnilab/net";
import type { NetNamespace } from "../../net-namespace.ts";
import { HttpClientConnection, HttpFailure } from "./http-client.ts";
import { HttpRequest, type HttpResponse } from "./http-message.ts";

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
  const { path, timeoutMs, ...where } = options;
  const { clock } = netns.network;
  const deadline = clock.now + timeoutMs;
  HttpClientConnection.open(netns, { ...where, connectTimeoutMs: timeoutMs }, (client) => {
    if (client instanceof HttpFailure) {
      done(undefined);
      return;
    }
    const request = new HttpRequest({ host: formatEndpoint(where.dst, where.port), path });
    client.ask(request, Math.max(0, deadline - clock.now), (answer) => {
      client.close();
      done(answer instanceof HttpFailure ? undefined : answer);
    });
  });
}
