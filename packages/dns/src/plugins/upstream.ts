import type { Clock, Random, Timer } from "@cnilab/core";
import { formatEndpoint, type IpAddress } from "@cnilab/net";
import { type DnsMessage, queryOf } from "../message/message.ts";
import type { DnsFailure, DnsProtocol, DnsSocket, DnsTransport } from "../transport.ts";

export interface UpstreamSettings {
  readonly transport: DnsTransport;
  readonly clock: Clock;
  readonly random: Random;
  /** Milliseconds for which a socket is kept for the next query. */
  readonly expireMs: number;
  readonly readTimeoutMs: number;
  /** Between health checks of a server that does not answer. */
  readonly healthCheckMs: number;
  readonly healthCheck: {
    readonly name: string;
    readonly rd: boolean;
    readonly protocol: DnsProtocol;
  };
}

/** How a query to a server ended. */
export type UpstreamResult = DnsMessage | DnsFailure | "timeout";

/** A health check waits so long for an answer. */
const HEALTH_TIMEOUT_MS = 1000;

/** A server that queries are forwarded to (CoreDNS `plugin/pkg/proxy`): sockets kept open, and its health. */
export class Upstream {
  readonly address: IpAddress;
  readonly port: number;
  readonly #settings: UpstreamSettings;
  readonly #idle: Record<DnsProtocol, UpstreamSocket[]> = { udp: [], tcp: [] };
  #fails = 0;
  #probing = false;
  #closed = false;

  constructor(address: IpAddress, port: number, settings: UpstreamSettings) {
    this.address = address;
    this.port = port;
    this.#settings = settings;
  }

  get name(): string {
    return formatEndpoint(this.address, this.port);
  }

  /** Whether more health checks than these have failed in a row. */
  isDown(maxFails: number): boolean {
    return maxFails > 0 && this.#fails > maxFails;
  }

  ask(query: DnsMessage, protocol: DnsProtocol, done: (result: UpstreamResult) => void): void {
    const { random, readTimeoutMs, expireMs } = this.#settings;
    const socket = this.#socket(protocol);
    const id = random.below(0x10000);
    socket.ask({ ...query, id }, readTimeoutMs, (result) => {
      if (typeof result === "string") {
        socket.close();
        return done(result);
      }
      this.#keep(socket, protocol, expireMs);
      done({ ...result, id: query.id });
    });
  }

  /** Asks the server until it answers, so that it counts as healthy again. */
  checkHealth(): void {
    if (this.#probing || this.#closed) return;
    this.#probing = true;
    const { clock, random, healthCheckMs, healthCheck } = this.#settings;
    const check = (): void => {
      const query = queryOf(random.below(0x10000), healthCheck.name, "NS");
      const asked = { ...query, flags: { ...query.flags, rd: healthCheck.rd } };
      const socket = new UpstreamSocket(
        this.#settings,
        this.address,
        this.port,
        healthCheck.protocol,
      );
      const done = (result: UpstreamResult): void => {
        socket.close();
        if (typeof result !== "string") {
          this.#fails = 0;
          this.#probing = false;
          return;
        }
        this.#fails++;
        if (this.#closed) return;
        clock.schedule(healthCheckMs, check, { background: true });
      };
      // Nobody waits for it.
      socket.ask(asked, HEALTH_TIMEOUT_MS, done, true);
    };
    check();
  }

  close(): void {
    this.#closed = true;
    for (const sockets of Object.values(this.#idle))
      for (const socket of sockets.splice(0)) socket.close();
  }

  /** One that was used not long ago, the oldest first, else a new one. */
  #socket(protocol: DnsProtocol): UpstreamSocket {
    const idle = this.#idle[protocol];
    for (let socket = idle.shift(); socket !== undefined; socket = idle.shift()) {
      if (socket.usable) return socket;
    }
    return new UpstreamSocket(this.#settings, this.address, this.port, protocol);
  }

  #keep(socket: UpstreamSocket, protocol: DnsProtocol, expireMs: number): void {
    if (this.#closed || expireMs <= 0) {
      socket.close();
      return;
    }
    this.#idle[protocol].push(socket);
    socket.expireAfter(expireMs, () => {
      const at = this.#idle[protocol].indexOf(socket);
      if (at >= 0) this.#idle[protocol].splice(at, 1);
    });
  }
}

/** A socket that carries one query at a time. */
class UpstreamSocket {
  readonly #clock: Clock;
  readonly #protocol: DnsProtocol;
  #socket: DnsSocket | undefined;
  #waiting: { readonly id: number; readonly done: (result: UpstreamResult) => void } | undefined;
  #timer: Timer | undefined;

  constructor(
    { transport, clock }: UpstreamSettings,
    address: IpAddress,
    port: number,
    protocol: DnsProtocol,
  ) {
    this.#clock = clock;
    this.#protocol = protocol;
    this.#socket = transport.open({ address, port, protocol }, (result) => this.#receive(result));
  }

  get usable(): boolean {
    return this.#socket !== undefined;
  }

  ask(
    query: DnsMessage,
    timeoutMs: number,
    done: (result: UpstreamResult) => void,
    background = false,
  ): void {
    this.#timer?.cancel();
    this.#waiting = { id: query.id, done };
    this.#timer = this.#clock.schedule(timeoutMs, () => this.#end("timeout"), { background });
    if (this.#socket === undefined) this.#end("unreachable");
    else this.#socket.send(query);
  }

  expireAfter(ms: number, then: () => void): void {
    this.#timer?.cancel();
    const expire = () => {
      this.close();
      then();
    };
    this.#timer = this.#clock.schedule(ms, expire, { background: true });
  }

  close(): void {
    this.#timer?.cancel();
    this.#socket?.close();
    this.#socket = undefined;
  }

  #receive(result: DnsMessage | DnsFailure): void {
    if (typeof result === "string") {
      this.#socket = undefined;
      this.#end(result);
      return;
    }
    // An answer that came too late for the query before it.
    if (this.#protocol === "udp" && result.id !== this.#waiting?.id) return;
    this.#end(result);
  }

  #end(result: UpstreamResult): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    this.#timer?.cancel();
    this.#waiting = undefined;
    waiting.done(result);
  }
}
