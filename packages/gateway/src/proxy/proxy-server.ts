import {
  ClientHello,
  KernelError,
  MessageReader,
  type ReceivedRequest,
  serveHttp,
  type TcpConnection,
  TcpListener,
  UdpSocket,
} from "@cnilab/linux";
import type { Payload } from "@cnilab/net";
import type { ConnectionDecision } from "../routing/decision.ts";
import { DatagramProxy } from "./datagram-proxy.ts";
import { HttpProxy } from "./http-proxy.ts";
import type { ProxyContext, ProxyPort } from "./proxy-settings.ts";
import { StreamProxy } from "./stream-proxy.ts";

/** Has the ports open that its rules serve, and gives each connection to the proxy for what it carries. */
export class ProxyServer {
  readonly #context: ProxyContext;
  readonly #http: HttpProxy;
  readonly #streams: StreamProxy;
  readonly #datagrams: DatagramProxy;
  /** By `PROTOCOL containerPort`. */
  readonly #open = new Map<string, { port: ProxyPort; readonly socket: { close(): void } }>();

  constructor(context: ProxyContext) {
    this.#context = context;
    this.#http = new HttpProxy(context);
    this.#streams = new StreamProxy(context);
    this.#datagrams = new DatagramProxy(context);
  }

  /** Opens what is new, and closes what is no longer served. Connections that are there go on. */
  serve(ports: readonly ProxyPort[]): void {
    const wanted = new Map(ports.map((port) => [idOf(port), port]));
    for (const [id, { socket }] of this.#open) {
      if (wanted.has(id)) continue;
      socket.close();
      this.#open.delete(id);
    }
    for (const [id, port] of wanted) {
      const there = this.#open.get(id);
      if (there !== undefined) there.port = port;
      else this.#listen(id, port);
    }
  }

  stop(): void {
    this.serve([]);
    this.#datagrams.stop();
  }

  #listen(id: string, port: ProxyPort): void {
    const { netns, owner, log } = this.#context;
    const now = () => this.#open.get(id)?.port ?? port;
    try {
      const socket =
        port.protocol === "UDP"
          ? new UdpSocket(netns, {
              localPort: port.containerPort,
              owner,
              onReceive: (datagram, server) => this.#datagrams.handle(now(), datagram, server),
            })
          : new TcpListener(netns, {
              port: port.containerPort,
              owner,
              onAccept: (connection) => this.#accept(now(), connection),
            });
      this.#open.set(id, { port, socket });
    } catch (error) {
      if (!(error instanceof KernelError) || error.errno !== "EADDRINUSE") throw error;
      log(`cannot listen on port ${port.containerPort}: address already in use`);
    }
  }

  #accept(port: ProxyPort, connection: TcpConnection): void {
    switch (port.protocol) {
      case "HTTP":
        serveHttp(connection, { handle: this.#handle(port) });
        break;
      case "TCP": {
        const decision = port.rules().routeConnection({ protocol: "TCP", port: port.port });
        if (decision.action === "forward") this.#streams.forward(connection, decision.backends);
        else this.#reset(connection, decision);
        break;
      }
      case "HTTPS":
      case "TLS":
        this.#awaitHello(port, connection);
        break;
      case "UDP":
    }
  }

  #handle(port: ProxyPort): Parameters<typeof serveHttp>[1]["handle"] {
    return (received: ReceivedRequest, answer) => this.#http.handle(port, received, answer);
  }

  /** The name in the client's hello decides what becomes of the connection. */
  #awaitHello(port: ProxyPort, connection: TcpConnection): void {
    const reader = new MessageReader();
    const heard: Payload[] = [];
    connection.onData = (data) => {
      heard.push(data);
      const message = reader.take(data);
      if (message === undefined) return;
      connection.onData = undefined;
      if (message instanceof ClientHello) this.#hello(port, connection, message, heard);
      else this.#endTls(port, connection, undefined, heard);
    };
  }

  #hello(
    port: ProxyPort,
    connection: TcpConnection,
    { serverName }: ClientHello,
    heard: readonly Payload[],
  ): void {
    const decision = port.rules().routeConnection({
      protocol: "TCP",
      port: port.port,
      tls: serverName === undefined ? {} : { serverName },
    });
    if (decision.action === "forward") {
      this.#streams.forward(connection, decision.backends, heard);
    } else if (decision.action === "terminate" && decision.backends !== undefined) {
      const certificate = this.#context.certificates.get(decision.certificate);
      this.#streams.terminate(connection, certificate, decision.backends);
    } else if (decision.action === "terminate") {
      this.#endTls(port, connection, decision, heard);
    } else {
      this.#reset(connection, decision);
    }
  }

  #endTls(
    port: ProxyPort,
    connection: TcpConnection,
    decision: (ConnectionDecision & { readonly action: "terminate" }) | undefined,
    heard: readonly Payload[],
  ): void {
    const certificate = this.#context.certificates.get(decision?.certificate);
    serveHttp(connection, { handle: this.#handle(port), certificateFor: () => certificate });
    for (const data of heard) connection.onData?.(data, connection);
  }

  #reset(connection: TcpConnection, { why }: ConnectionDecision): void {
    this.#context.log(why);
    connection.netns.network.clock.schedule(0, () => connection.close());
  }
}

function idOf({ protocol, containerPort }: ProxyPort): string {
  return `${protocol === "UDP" ? "UDP" : "TCP"} ${containerPort}`;
}
