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
  /** With the port that all have where none was named. */
  readonly address: string;
}

/** Who is to be tried. All who ask again get the same, until connections, direct peers or what others have found are others. */
interface Sought {
  /** Of where others have found peers. */
  readonly foundVersion: number;
  readonly wanted: ReadonlySet<string>;
  /** Addresses of direct peers, connected or not. */
  readonly direct: ReadonlySet<string>;
}

/** When the targets, as they are, have to be looked at again. */
interface Rest {
  /** `undefined` where none is to be tried. */
  readonly until: number | undefined;
  /** Whether somebody waits for that. */
  readonly isAwaited: boolean;
}

/** Seeks connections to the peers that it was given, and to those that others have (mesh/connection_maker.go). */
export class ConnectionMaker {
  readonly #options: ConnectionMakerOptions;
  readonly #direct = new Map<string, DirectPeer>();
  readonly #targets = new Map<string, ConnectionTarget>();
  readonly #connections = new Set<MeshConnection>();
  #sought: Sought | undefined;
  /** `undefined` once a target or who is sought has changed. */
  #rest: Rest | undefined;
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
    this.#seekAnew();
    if (replace) this.#direct.clear();
    for (const [peer, direct] of parsed) {
      this.#direct.set(peer, direct);
      this.#targets.get(direct.address)?.tryNow(this.#options.clock.now);
    }
    this.refresh();
  }

  /** `weave forget`. */
  forget(peers: readonly string[]): void {
    this.#seekAnew();
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
    this.#rest = undefined;
    target.state = "waiting";
    target.lastError = error;
    target.tryLater(this.#options.clock.now, this.#options.random);
    this.refresh();
  }

  created(connection: MeshConnection): void {
    this.#connections.add(connection);
    this.#seekAnew();
    const target = connection.outbound ? this.#targets.get(connection.address) : undefined;
    if (target !== undefined) target.state = "connected";
  }

  terminated(connection: MeshConnection, error: Error): void {
    const isHopeless = error instanceof HopelessConnection;
    if (!(isHopeless && error.isToOurself)) this.#terminations++;
    // Most that end have never come about: there are as many as before.
    if (this.#connections.delete(connection)) this.#seekAnew();
    this.#rest = undefined;
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

  #seekAnew(): void {
    this.#sought = undefined;
    this.#rest = undefined;
  }

  /** Each news of the mesh asks for it, and few change anything for us. */
  #check(): void {
    const { clock, peers } = this.#options;
    if (this.#sought?.foundVersion !== peers.foundVersion) this.#seekAnew();
    const rest = this.#rest;
    if (rest !== undefined && (rest.until === undefined || rest.until > clock.now)) {
      this.#sleep(rest);
      return;
    }
    this.#sought ??= this.#seek();
    const { wanted, direct } = this.#sought;
    for (const address of wanted) {
      if (!this.#targets.has(address)) {
        this.#targets.set(address, new ConnectionTarget(address, clock.now));
      }
    }
    this.#connect(wanted, direct);
  }

  #sleep({ until, isAwaited }: Rest): void {
    if (until !== undefined) this.#schedule(until - this.#options.clock.now, isAwaited);
  }

  #seek(): Sought {
    const { peers, discovery } = this.#options;
    const connections = [...this.#connections];
    const addresses = new Set(connections.map(({ address }) => address));
    // Hosts that have connected to us.
    const inbound = new Set(
      connections.filter(({ outbound }) => !outbound).map(({ tcp }) => formatIp(tcp.remoteAddress)),
    );
    const wanted = new Set<string>();
    const direct = new Set<string>();
    for (const { address, host, port } of this.#direct.values()) {
      direct.add(address);
      if (addresses.has(address)) continue;
      if (port !== undefined || !inbound.has(host)) wanted.add(address);
    }
    if (discovery) {
      const names = connections.map(({ remote }) => remote.name);
      for (const address of this.#discovered(new Set([peers.ourself.name, ...names]))) {
        if (!addresses.has(address)) wanted.add(address);
      }
    }
    return { foundVersion: peers.foundVersion, wanted, direct };
  }

  /** Where others have found peers that we have no connection to. */
  *#discovered(connected: ReadonlySet<PeerName>): Iterable<string> {
    const { peers } = this.#options;
    if (connected.size >= peers.size) return;
    for (const name of peers.names()) if (!connected.has(name)) yield* peers.addressesOf(name);
  }

  #connect(wanted: ReadonlySet<string>, direct: ReadonlySet<string>): void {
    const { clock, dial } = this.#options;
    let next: ConnectionTarget | undefined;
    let isAwaited = false;
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
        continue;
      }
      isAwaited ||= target.isHopeful;
      if (next?.tryAfter === undefined || target.tryAfter < next.tryAfter) next = target;
    }
    this.#rest = { until: next?.tryAfter, isAwaited };
    this.#sleep(this.#rest);
    for (const address of due) dial(address, direct.has(address));
  }
}

function directPeer(peer: string): DirectPeer {
  const [, host = "", port] = /^(.+?)(?::(\d{1,5}))?$/.exec(peer) ?? [];
  try {
    if (typeof parseIp(host) === "number" && Number(port ?? 0) <= 65_535) {
      const number = port === undefined ? undefined : Number(port);
      return { host, port: number, address: `${host}:${number ?? MESH_PORT}` };
    }
  } catch {
    // Said below.
  }
  throw new Error(`invalid peer name "${peer}", should be host[:port]`);
}
