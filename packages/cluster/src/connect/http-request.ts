import {
  type Drop,
  HttpClientConnection,
  HttpFailure,
  HttpRequest,
  type HttpRequestParts,
  type HttpResponse,
  type NetNamespace,
  type Trace,
} from "@cnilab/linux";
import { type IpAddress, NeighbourMessage } from "@cnilab/net";
import { DropCollector } from "./drop-collector.ts";
import { innermostOf } from "./innermost-packet.ts";

/** One request to one address, as `curl` makes it once it knows the address. */
export interface HttpAsk {
  readonly address: IpAddress;
  readonly port: number;
  /** Whether TLS comes first, and for which host. */
  readonly tls?: { readonly host: string; readonly insecure: boolean } | undefined;
  readonly request: HttpRequestParts;
  /** Virtual milliseconds. */
  readonly connectTimeoutMs: number;
  readonly maxTimeMs: number;
  readonly trace?: Trace | undefined;
}

/** What came of it. */
export interface HttpOutcome {
  readonly result: HttpResponse | HttpFailure;
  /** Source of the client's own connection; `undefined` where there was no way to begin one. */
  readonly source: IpAddress | undefined;
  /** Packets that ended on the way, on any leg. */
  readonly drops: readonly Drop[];
}

/** The name to send as SNI; an address is none (RFC 6066 section 3). */
function serverNameOf(host: string): string | undefined {
  return /^[0-9.]+$|:/.test(host) ? undefined : host;
}

/** Sends a request and turns the clock until it has its answer, or gives up. */
export function askHttp(netns: NetNamespace, owner: string, ask: HttpAsk): HttpOutcome {
  const { network } = netns;
  const { clock } = network;
  const collector = new DropCollector(network, isTraffic);
  let result: HttpResponse | HttpFailure | undefined;
  let source: IpAddress | undefined;
  const deadline = clock.now + ask.maxTimeMs;
  const { tls } = ask;
  HttpClientConnection.open(
    netns,
    {
      dst: ask.address,
      port: ask.port,
      owner,
      connectTimeoutMs: ask.connectTimeoutMs,
      trace: ask.trace,
      ...(tls !== undefined && {
        tls: {
          serverName: serverNameOf(tls.host),
          verifyHost: tls.insecure ? undefined : tls.host,
        },
      }),
    },
    (opened) => {
      if (opened instanceof HttpFailure) {
        result = opened;
        return;
      }
      source = opened.connection.localAddress;
      const rest = Math.max(0, deadline - clock.now);
      opened.ask(new HttpRequest(ask.request), rest, (answer) => {
        result = answer;
        opened.close();
      });
    },
  );
  collector.turnClock(() => result !== undefined, deadline + 1);
  // Goodbyes belong to what was asked: they take their packets before anybody looks.
  clock.advance(0);
  collector.collect();
  const timedOut = new HttpFailure("connect", "no answer in time", { timedOut: true });
  return { result: result ?? timedOut, source, drops: collector.drops };
}

/** Whether a packet is somebody's, and not one of those that ask for neighbours or were flooded. */
function isTraffic({ skb, reason }: Drop): boolean {
  if (!skb.isIp || reason === "OTHERHOST") return false;
  return !(innermostOf(skb.ip).payload instanceof NeighbourMessage);
}
