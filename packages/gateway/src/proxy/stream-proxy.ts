import {
  type Certificate,
  hangUp,
  MessageReader,
  passTo,
  ServerHello,
  say,
  TcpConnection,
  TlsApplicationData,
  type WireMessage,
} from "@cnilab/linux";
import { formatEndpoint, type Payload } from "@cnilab/net";
import { chooseBackend } from "../routing/choose-backend.ts";
import type { RouteBackend } from "../routing/decision.ts";
import { RoundRobin } from "./balancer.ts";
import { backendKey } from "./endpoint-index.ts";
import type { ProxyContext } from "./proxy-settings.ts";

/** Takes connections to endpoints byte by byte, and does not read them. */
export class StreamProxy {
  readonly #context: ProxyContext;
  readonly #turns: RoundRobin;

  constructor(context: ProxyContext) {
    this.#context = context;
    this.#turns = new RoundRobin(context.random);
  }

  /** @param heard what the client has said already */
  forward(
    client: TcpConnection,
    backends: readonly RouteBackend[],
    heard: readonly Payload[] = [],
  ): void {
    const upstream = this.#connect(client, backends);
    if (upstream === undefined) return;
    join(client, upstream, heard);
  }

  /** Ends TLS, and takes what was inside to an endpoint. */
  terminate(
    client: TcpConnection,
    certificate: Certificate,
    backends: readonly RouteBackend[],
  ): void {
    const upstream = this.#connect(client, backends);
    if (upstream === undefined) return;
    const [fromClient, fromUpstream] = [new MessageReader(), new MessageReader()];
    const send = whenOpen(upstream);
    client.onData = (data) => {
      const message = fromClient.take(data);
      if (message instanceof TlsApplicationData) send(() => say(upstream, message.content));
    };
    upstream.onData = (data) => {
      const message = fromUpstream.take(data);
      if (message === undefined || client.state !== "ESTAB") return;
      const content = message === data ? bytes(data.length) : (message as WireMessage);
      say(client, new TlsApplicationData(content));
    };
    endTogether(client, upstream);
    say(client, new ServerHello(certificate));
  }

  #connect(client: TcpConnection, backends: readonly RouteBackend[]): TcpConnection | undefined {
    const { netns, owner, random, endpoints, settings, log } = this.#context;
    const from = formatEndpoint(client.remoteAddress, client.remotePort);
    const refuse = (why: string) => {
      log(`${from}: ${why}`);
      hangUp(client);
      return undefined;
    };
    if (backends.length === 0) return refuse("the route has no backends");
    const backend = chooseBackend(backends, random);
    if (backend.error !== undefined) return refuse(backend.error.why);
    const key = backendKey(backend);
    const ready = endpoints.ready(key, backend.port, settings.style === "nginx");
    if (ready.endpoints.length === 0) return refuse(ready.why);
    const { address, port } = this.#turns.pick(`${key}:${backend.port}`, ready.endpoints);
    const upstream = TcpConnection.connect(netns, {
      dst: address,
      port,
      owner,
      trace: client.trace,
    });
    if ("errno" in upstream) return refuse(upstream.message);
    if (upstream.state === "CLOSED") return refuse(upstream.error?.message ?? "refused");
    log(`${from} [${key}] ${formatEndpoint(address, port)}`);
    const { clock } = netns.network;
    clock.schedule(
      settings.connectTimeoutMs,
      () => {
        if (upstream.state !== "SYN-SENT") return;
        upstream.abandon();
        refuse(`no answer from ${formatEndpoint(address, port)} in time`);
      },
      { background: true },
    );
    return upstream;
  }
}

function bytes(wireLength: number): WireMessage {
  return { wireLength, toString: () => "bytes" };
}

/** What is said on one side is said on the other. */
function join(client: TcpConnection, upstream: TcpConnection, heard: readonly Payload[]): void {
  const send = whenOpen(upstream);
  client.onData = (data) => send(() => passTo(upstream)(data));
  upstream.onData = passTo(client);
  endTogether(client, upstream);
  for (const data of heard) client.onData(data, client);
}

/** Puts off what is to be said until somebody is there to hear it. */
function whenOpen(connection: TcpConnection): (what: () => void) => void {
  let waiting: (() => void)[] | undefined = connection.state === "ESTAB" ? undefined : [];
  connection.onEstablished = () => {
    const all = waiting ?? [];
    waiting = undefined;
    for (const what of all) what();
  };
  return (what) => {
    if (waiting === undefined) what();
    else waiting.push(what);
  };
}

function endTogether(x: TcpConnection, y: TcpConnection): void {
  x.onEnd = () => hangUp(y);
  y.onEnd = () => hangUp(x);
}
