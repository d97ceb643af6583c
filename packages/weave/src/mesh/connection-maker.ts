import type { Clock, Random, Timer } from "@cnilab/core";
import { formatIp, parseIp } from "@cnilab/net";
import { HopelessConnection } from "./connection-error.ts";
import { ConnectionTarget } from "./connection-target.ts";
import type { MeshConnection } from "./mesh-connection.ts";
import type { PeerName } from "./peer-name.ts";
import type { Peers } from "./peers.ts";
import { MESH_PORT } from "./protocol.ts";

export interface ConnectionMakerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly peers: Peers;
  /** Whether peers are tried that others are connected to. */
  readonly discovery: boolean;
  /** Tries an address; {@link ConnectionMaker.aborted} where nothing comes of it. */
  readonly dial: (address: string, acceptNewPeer: boolean) => void;
}

interface DirectPeer {
  readonly host: string;
  /** Absent where none was named: then a connection from there is as good. */
  readonly port: number | undefined;
}

/** Seeks connections to the peers that it was given, and to those that others have (mesh/connection_maker.go). */
export class ConnectionMaker {
  readonly #options: ConnectionMakerOptions;
  readonly #direct = new Map<string, DirectPeer>();
  readonly #targets = new Map<string, ConnectionTarget>();
  readonly #connections = new Set<MeshConnection>();
  #timer: Timer | undefined;
  #terminations = 0;

  constructor(options: ConnectionMakerOptions) {
    this.#options = options;
  }

  get connections(): ReadonlySet<MeshConnection> {
    return this.#connections;
  }

  /** Whom it was told to seek, as it was told. */
  get directPeers(): Iterable<string> {
    return this.#direct.keys();
  }

  get targets(): ReadonlyMap<string, ConnectionTarget> {
    return this.#targets;
  }

  /** Connections that have ended, but for those to ourselves. */
  get terminations(): number {
    return this.#terminations;
  }

  /**
   * `weave connect`: seeks these, as `host` or `host:port`.
   * @param replace whether others given before are forgotten
   * @throws Error where one of them is no address; nothing is changed then
   */
  initiate(peers: readonly string[], replace = false): void {
    const parsed = peers.map((peer) => [peer, directPeer(peer)] as const);
    if (replace) this.#direct.clear();
    for (const [peer, direct] of parsed) {
      this.#direct.set(peer, direct);
      this.#targets.get(completed(direct))?.tryNow(this.#options.clock.now);
    }
    this.refresh();
  }

  /** `weave forget`. */
  forget(peers: readonly string[]): void {
    for (const peer of peers) this.#direct.delete(peer);
    this.refresh();
  }

  /** Looks who should be tried, once what happens now is over. */
  refresh(): void {
    this.#schedule(0, true);
  }

  aborted(address: string, error: Error): void {
    const target = this.#targets.get(address);
    if (target === undefined) return;
    target.state = "waiting";
    target.lastError = error;
    target.tryLater(this.#options.clock.now, this.#options.random);
    this.refresh();
  }

  created(connection: MeshConnection): void {
    this.#connections.add(connection);
    const target = connection.outbound ? this.#targets.get(connection.address) : undefined;
    if (target !== undefined) target.state = "connected";
  }

  terminated(connection: MeshConnection, error: Error): void {
    const isHopeless = error instanceof HopelessConnection;
    if (!(isHopeless && error.isToOurself)) this.#terminations++;
    this.#connections.delete(connection);
    const target = connection.outbound ? this.#targets.get(connection.address) : undefined;
    if (target !== undefined) {
      target.state = "waiting";
      target.lastError = error;
      if (isHopeless) target.tryNever();
      else target.tryAgain(this.#options.clock.now, this.#options.random);
    }
    this.refresh();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#direct.clear();
    this.#targets.clear();
  }

  #schedule(delayMs: number, isAwaited: boolean): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.schedule(
      delayMs,
      () => {
        this.#timer = undefined;
        this.#check();
      },
      { background: !isAwaited },
    );
  }

  #check(): void {
    const connectedTo = new Set([...this.#connections].map(({ address }) => address));
    const inbound = new Set(
      [...this.#connections]
        .filter(({ outbound }) => !outbound)
        .map(({ tcp }) => formatIp(tcp.remoteAddress)),
    );
    const wanted = new Set<string>();
    const direct = new Set<string>();
    for (const peer of this.#direct.values()) {
      const address = completed(peer);
      direct.add(address);
      if (peer.port !== undefined || !inbound.has(peer.host)) wanted.add(address);
    }
    if (this.#options.discovery) for (const address of this.#discovered()) wanted.add(address);
    const { now } = this.#options.clock;
    for (const address of [...wanted]) {
      if (connectedTo.has(address)) wanted.delete(address);
      else if (!this.#targets.has(address)) {
        this.#targets.set(address, new ConnectionTarget(address, now));
      }
    }
    this.#connect(wanted, direct);
  }

  /** Where others have found peers that we have no connection to. */
  *#discovered(): Iterable<string> {
    const { peers } = this.#options;
    const ourself = peers.ourself.name;
    const connected = new Set<PeerName>([ourself]);
    for (const { remote } of this.#connections) connected.add(remote.name);
    for (const { name, connections } of peers.all()) {
      if (name === ourself) continue;
      for (const [remote, { address, outbound }] of connections) {
        if (connected.has(remote)) continue;
        // Where it came from is a port of that one connection: the peer itself is where all are.
        yield outbound ? address : `${address.slice(0, address.lastIndexOf(":"))}:${MESH_PORT}`;
      }
    }
  }

  #connect(wanted: ReadonlySet<string>, direct: ReadonlySet<string>): void {
    const { clock, dial } = this.#options;
    let next: ConnectionTarget | undefined;
    const due: string[] = [];
    for (const [address, target] of this.#targets) {
      if (target.state !== "waiting" && target.state !== "suspended") continue;
      if (!wanted.has(address)) {
        if (direct.has(address)) target.state = "suspended";
        else this.#targets.delete(address);
        continue;
      }
      if (target.tryAfter === undefined) continue;
      target.state = "waiting";
      if (target.tryAfter <= clock.now) {
        target.state = "attempting";
        due.push(address);
      } else if (next?.tryAfter === undefined || target.tryAfter < next.tryAfter) next = target;
    }
    const isAwaited = [...this.#targets.values()].some(
      ({ state, isHopeful, tryAfter }) =>
        state === "waiting" && isHopeful && tryAfter !== undefined,
    );
    if (next?.tryAfter !== undefined) this.#schedule(next.tryAfter - clock.now, isAwaited);
    for (const address of due) dial(address, direct.has(address));
  }
}

function directPeer(peer: string): DirectPeer {
  const [, host = "", port] = /^(.+?)(?::(\d{1,5}))?$/.exec(peer) ?? [];
  try {
    if (typeof parseIp(host) === "number" && Number(port ?? 0) <= 65_535) {
      return { host, port: port === undefined ? undefined : Number(port) };
    }
  } catch {
    // Said below.
  }
  throw new Error(`invalid peer name "${peer}", should be host[:port]`);
}

function completed({ host, port }: DirectPeer): string {
  return `${host}:${port ?? MESH_PORT}`;
}
