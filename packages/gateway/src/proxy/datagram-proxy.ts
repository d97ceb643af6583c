import type { Timer } from "@cnilab/core";
import { Message, messageOf, type ReceivedDatagram, UdpSocket } from "@cnilab/linux";
import { formatEndpoint } from "@cnilab/net";
import { chooseBackend } from "../routing/choose-backend.ts";
import { RoundRobin } from "./balancer.ts";
import { backendKey } from "./endpoint-index.ts";
import type { ProxyContext, ProxyPort } from "./proxy-settings.ts";

/** Milliseconds after which a client that says nothing is forgotten (Envoy udp_proxy `idle_timeout`). */
const SESSION_IDLE_MS = 60_000;

interface UdpSession {
  readonly upstream: UdpSocket;
  idle: Timer;
}

/** Takes datagrams to endpoints; all of one client to one endpoint, from one port. */
export class DatagramProxy {
  readonly #context: ProxyContext;
  readonly #turns: RoundRobin;
  readonly #sessions = new Map<string, UdpSession>();

  constructor(context: ProxyContext) {
    this.#context = context;
    this.#turns = new RoundRobin(context.random);
  }

  stop(): void {
    for (const { upstream, idle } of this.#sessions.values()) {
      idle.cancel();
      upstream.close();
    }
    this.#sessions.clear();
  }

  handle(port: ProxyPort, datagram: ReceivedDatagram, server: UdpSocket): void {
    const key = `${formatEndpoint(datagram.src, datagram.srcPort)} ${port.containerPort}`;
    let session = this.#sessions.get(key);
    if (session === undefined) {
      const upstream = this.#open(port, datagram, server);
      if (upstream === undefined) return;
      session = { upstream, idle: this.#idle(key) };
      this.#sessions.set(key, session);
    } else {
      session.idle.cancel();
      session.idle = this.#idle(key);
    }
    const { upstream } = session;
    const { payload, skb } = datagram;
    const data = new Message(payload.length, messageOf(payload));
    if (upstream.remoteAddress === undefined) return;
    upstream.sendTo(upstream.remoteAddress, upstream.remotePort, data, { trace: skb.trace });
  }

  #idle(key: string): Timer {
    const forget = () => {
      this.#sessions.get(key)?.upstream.close();
      this.#sessions.delete(key);
    };
    return this.#context.clock.schedule(SESSION_IDLE_MS, forget, { background: true });
  }

  #open(
    { port, rules }: ProxyPort,
    { src, srcPort, dst }: ReceivedDatagram,
    server: UdpSocket,
  ): UdpSocket | undefined {
    const { netns, owner, random, endpoints, log } = this.#context;
    const from = formatEndpoint(src, srcPort);
    const decision = rules().routeConnection({ protocol: "UDP", port });
    if (decision.action !== "forward" || decision.backends.length === 0) {
      log(`${from}: ${decision.why}`);
      return undefined;
    }
    const backend = chooseBackend(decision.backends, random);
    const key = backendKey(backend);
    const ready = endpoints.ready(key, backend.port, false);
    if (backend.error !== undefined || ready.endpoints.length === 0) {
      log(`${from}: ${backend.error?.why ?? ready.why}`);
      return undefined;
    }
    const endpoint = this.#turns.pick(`${key}:${backend.port}`, ready.endpoints);
    log(`${from} [${key}] ${formatEndpoint(endpoint.address, endpoint.port)}`);
    return new UdpSocket(netns, {
      remoteAddress: endpoint.address,
      remotePort: endpoint.port,
      owner,
      onReceive: ({ payload, skb }) => {
        const data = new Message(payload.length, messageOf(payload));
        server.sendTo(src, srcPort, data, { src: dst, trace: skb.trace });
      },
    });
  }
}
