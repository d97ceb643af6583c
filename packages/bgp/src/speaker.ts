import type { Clock, Timer } from "@cnilab/core";
import { KernelError, type NetNamespace, type TcpConnection, TcpListener } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import { BgpSession, type SessionOwner, type SessionStatus } from "./bgp-session.ts";
import { HOLD_TIME, type PeerConfig, type SpeakerConfig } from "./config.ts";
import { DirectProtocol } from "./direct-protocol.ts";
import { ExportGroup } from "./export-group.ts";
import { KernelProtocol } from "./kernel-protocol.ts";
import { BgpMessages } from "./message.ts";
import { StaticProtocol } from "./static-protocol.ts";
import { RouteTable, type TableEntry } from "./table.ts";

/** `graceful restart wait`: so long a speaker that has restarted waits for its neighbours' routes. */
const RECOVERY_MS = 240_000;
/** A third of {@link HOLD_TIME}. */
const KEEPALIVE_MS = 80_000;

/** A line of `birdc show protocols`. */
export interface ProtocolStatus {
  readonly name: string;
  readonly protocol: "Kernel" | "Device" | "Direct" | "Static" | "BGP";
  readonly state: "down" | "start" | "up";
  readonly since: number;
  readonly info: string;
}

export interface SpeakerOptions {
  /** Name of the process, in sockets and traces. */
  readonly program: string;
  /**
   * It starts as `bird -R` does: what it programmed before it was stopped stays, and neighbours that kept their routes are
   * heard before anybody is told anything.
   */
  readonly recover: boolean;
}

/** One BIRD process. It holds a table, and protocols that bring routes and take them. */
export class Speaker implements SessionOwner {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  readonly program: string;
  readonly table: RouteTable;
  #config: SpeakerConfig;
  #listener: TcpListener | undefined;
  readonly #sessions = new Map<string, BgpSession>();
  readonly #byNeighbor = new Map<IpAddress, BgpSession>();
  readonly #groups = new Map<string, ExportGroup>();
  /** Of each session that is told routes. */
  readonly #groupOf = new Map<BgpSession, ExportGroup>();
  /** Sessions with routes that were told before, and perhaps not again. */
  readonly #refreshing = new Set<BgpSession>();
  readonly #static: StaticProtocol;
  readonly #direct: DirectProtocol;
  readonly #kernel: KernelProtocol;
  /** Prefixes whose routes are others, to be told of together. */
  #dirty = new Set<TableEntry>();
  #flushTimer: Timer | undefined;
  #keepaliveTimer: Timer | undefined;
  #recoveryTimer: Timer | undefined;
  /** Sessions that a restarted speaker waits for; `undefined` once it waits no more. */
  #awaited: Set<BgpSession> | undefined;
  /** What it says first, by what it depends on: most peers are told the same. */
  readonly #opens = new Map<string, BgpMessages>();
  #lastPathId = 0;
  #running = false;
  #since = 0;

  constructor(netns: NetNamespace, clock: Clock, config: SpeakerConfig, options: SpeakerOptions) {
    this.netns = netns;
    this.clock = clock;
    this.program = options.program;
    this.#config = config;
    this.#awaited = options.recover ? new Set() : undefined;
    this.table = new RouteTable(
      config.family,
      (address) => netns.hasAddress(address),
      (entry) => this.#changed(entry),
    );
    this.#static = new StaticProtocol(this.table, netns, this.nextPathId());
    this.#direct = new DirectProtocol(this.table, netns, this.nextPathId());
    this.#kernel = new KernelProtocol(this.table, netns, clock, this.nextPathId());
  }

  get config(): SpeakerConfig {
    return this.#config;
  }

  /** Whether it has just started anew and hears its neighbours first (`gr_recovery`). */
  get isRecovering(): boolean {
    return this.#awaited !== undefined;
  }

  get sessions(): Iterable<BgpSession> {
    return this.#sessions.values();
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#since = this.clock.now;
    this.#listen();
    this.#direct.start(this.#config.directInterfaces);
    this.#static.set(this.#config.statics);
    this.#kernel.start(this.#config.kernel, () => this.#kernelChanged());
    for (const peer of this.#config.peers) this.#add(peer);
    if (this.#awaited !== undefined) {
      for (const session of this.#sessions.values()) {
        if (session.config.gracefulRestartTime !== undefined) this.#awaited.add(session);
      }
      this.#recoveryTimer = this.clock.schedule(RECOVERY_MS, () => this.#recovered());
      this.#checkRecovery();
    }
    this.#keepLater();
  }

  /** Takes another configuration (`birdc configure`): sessions that it does not change stay up. */
  configure(config: SpeakerConfig): void {
    const before = this.#config;
    if (before === config) return;
    this.#config = config;
    if (!this.#running) return;
    if (
      before.listen?.port !== config.listen?.port ||
      before.listen?.address !== config.listen?.address
    ) {
      this.#listen();
    }
    this.#direct.start(config.directInterfaces);
    this.#static.set(config.statics);
    this.#kernel.configure(config.kernel);
    const wanted = new Map(config.peers.map((peer) => [peer.name, peer]));
    const isRestart = before.routerId !== config.routerId;
    for (const session of [...this.#sessions.values()]) {
      const peer = wanted.get(session.name);
      if (peer === undefined) this.#remove(session, 3);
      else if (isRestart || isOther(session.config, peer)) {
        this.#remove(session, 6);
        this.#add(peer);
      } else this.#change(session, peer);
    }
    for (const peer of config.peers) if (!this.#sessions.has(peer.name)) this.#add(peer);
    // Filters may say other things now of routes that have not changed.
    for (const entry of this.table.entries()) this.#changed(entry);
  }

  /** Ends as a program that is told to: neighbours hear of it, and forget its routes. The kernel's stay (`persist`). */
  shutdown(): void {
    for (const session of this.#sessions.values()) session.shutdown(2);
    this.#stop();
  }

  /** Ends as a program that is killed: its kernel closes the connections. */
  kill(): void {
    for (const session of this.#sessions.values()) session.kill();
    this.#stop();
  }

  #stop(): void {
    this.#running = false;
    this.#listener?.close();
    this.#listener = undefined;
    this.#kernel.stop();
    for (const timer of [this.#flushTimer, this.#keepaliveTimer, this.#recoveryTimer]) {
      timer?.cancel();
    }
    this.#sessions.clear();
    this.#byNeighbor.clear();
    this.#groups.clear();
    this.#groupOf.clear();
    this.#refreshing.clear();
  }

  /** `birdc show protocols`. */
  protocols(): ProtocolStatus[] {
    const own = (name: string, protocol: ProtocolStatus["protocol"]): ProtocolStatus => ({
      name,
      protocol,
      state: this.#running ? "up" : "down",
      since: this.#since,
      info: "",
    });
    return [
      ...(this.#config.statics.length > 0 ? [own("static1", "Static")] : []),
      own("kernel1", "Kernel"),
      own("device1", "Device"),
      own("direct1", "Direct"),
      ...[...this.#sessions.values()].map(
        ({ status }): ProtocolStatus => ({
          name: status.name,
          protocol: "BGP",
          state: status.state,
          since: status.since,
          info: sessionInfo(status),
        }),
      ),
    ];
  }

  // --- what sessions say and ask

  nextPathId(): number {
    return ++this.#lastPathId;
  }

  openOf({
    localAs,
    addPaths,
    gracefulRestartTime,
    holdTime = HOLD_TIME,
  }: PeerConfig): BgpMessages {
    const { routerId, family } = this.#config;
    const { isRecovering } = this;
    const key = [routerId, localAs, addPaths, gracefulRestartTime, holdTime, isRecovering].join();
    let messages = this.#opens.get(key);
    if (messages === undefined) {
      const gracefulRestart =
        gracefulRestartTime === undefined
          ? undefined
          : {
              restarting: isRecovering,
              time: gracefulRestartTime,
              forwarding: isRecovering,
            };
      messages = new BgpMessages([
        {
          type: "OPEN",
          as: localAs,
          holdTime,
          routerId,
          family,
          addPath: addPaths,
          gracefulRestart,
        },
      ]);
      this.#opens.set(key, messages);
    }
    return messages;
  }

  /** @param tellsAll the neighbour will say when it has told everything it knows */
  established(session: BgpSession, tellsAll: boolean): void {
    if (this.#awaited?.has(session) && !tellsAll) {
      this.#awaited.delete(session);
      this.#checkRecovery();
    }
    // A speaker that recovers tells nothing yet.
    if (this.#awaited === undefined) this.#feed(session);
  }

  /** The neighbour has told all there was. */
  heardAll(session: BgpSession): void {
    if (this.#awaited?.delete(session)) this.#checkRecovery();
  }

  ended(session: BgpSession): void {
    this.#refreshing.delete(session);
    this.#leave(session);
  }

  feedAgain(session: BgpSession): void {
    if (this.#awaited !== undefined) return;
    const before = this.#groupOf.get(session);
    this.#leave(session);
    this.#feed(session, before);
  }

  beginRefresh(session: BgpSession): void {
    this.#refreshing.add(session);
    for (const route of this.table.routesOf(session)) route.stale = true;
  }

  /** What the neighbour has not told again is gone. */
  endRefresh(session: BgpSession): void {
    if (!this.#refreshing.delete(session)) return;
    this.table.flush(session, (route) => route.stale);
  }

  // --- configuration

  #listen(): void {
    this.#listener?.close();
    this.#listener = undefined;
    const { listen } = this.#config;
    if (listen === undefined) return;
    try {
      this.#listener = new TcpListener(this.netns, {
        address: listen.address,
        port: listen.port,
        owner: this.program,
        onAccept: (tcp) => this.#accept(tcp),
      });
    } catch (error) {
      // "Unable to open listening socket": it goes on without.
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #accept(tcp: TcpConnection): void {
    const session = this.#byNeighbor.get(tcp.remoteAddress);
    if (session === undefined || !session.accept(tcp)) tcp.close();
  }

  #add(peer: PeerConfig): void {
    const session = new BgpSession(this, peer);
    this.#sessions.set(peer.name, session);
    this.#byNeighbor.set(peer.neighbor, session);
    session.start();
  }

  #remove(session: BgpSession, subcode: number): void {
    session.shutdown(subcode);
    this.#sessions.delete(session.name);
    if (this.#byNeighbor.get(session.neighbor) === session) {
      this.#byNeighbor.delete(session.neighbor);
    }
    this.heardAll(session);
  }

  /** Other filters, or other words for what is told: the session stays. */
  #change(session: BgpSession, peer: PeerConfig): void {
    const { importFilter, exportFilter } = session.config;
    session.config = peer;
    if (peer.exportFilter !== exportFilter && this.#groupOf.has(session)) this.feedAgain(session);
    if (peer.importFilter !== importFilter) session.refresh();
  }

  // --- routes

  #changed(entry: TableEntry): void {
    this.#dirty.add(entry);
    this.#flushTimer ??= this.clock.schedule(0, () => {
      this.#flushTimer = undefined;
      this.#flush();
    });
  }

  #flush(): void {
    if (!this.#running || this.#awaited !== undefined) return;
    const entries = this.#dirty;
    this.#dirty = new Set();
    this.#kernel.export(entries);
    for (const group of this.#groups.values()) group.update(entries);
    for (const entry of entries) this.table.forget(entry);
  }

  /** The kernel has other routes or addresses. */
  #kernelChanged(): void {
    this.#direct.scan();
    this.#static.scan();
  }

  #feed(session: BgpSession, before?: ExportGroup): void {
    // Of the prefixes that changed just now the group must know first.
    this.#flush();
    const group = this.#groupFor(session);
    this.#groupOf.set(session, group);
    group.join(session, session.wantsEndOfRib, before);
  }

  #leave(session: BgpSession): void {
    const group = this.#groupOf.get(session);
    if (group === undefined) return;
    this.#groupOf.delete(session);
    group.members.delete(session);
    if (group.members.size > 0) return;
    for (const [key, other] of this.#groups) if (other === group) this.#groups.delete(key);
  }

  #groupFor(session: BgpSession): ExportGroup {
    const { config, isInternal, rrClusterId, addPath } = session;
    const sourceAddress = config.sourceAddress ?? session.localAddress;
    const key = [
      addPath,
      isInternal,
      config.localAs,
      config.rrClient,
      rrClusterId,
      config.nextHopSelf,
      config.nextHopKeep,
      sourceAddress,
      filterId(config.exportFilter),
    ].join(" ");
    let group = this.#groups.get(key);
    if (group === undefined) {
      const { release } = this.#config;
      const target = { release, config, isInternal, rrClusterId, sourceAddress };
      group = new ExportGroup(target, addPath, this.table);
      this.#groups.set(key, group);
    }
    return group;
  }

  // --- time

  #keepLater(): void {
    const least = [...this.#sessions.values()].reduce(
      (ms, session) => Math.min(ms, session.keepaliveMs),
      KEEPALIVE_MS,
    );
    const keep = () => {
      for (const session of [...this.#sessions.values()]) session.keepAlive();
      this.#keepLater();
    };
    this.#keepaliveTimer = this.clock.schedule(least, keep, { background: true });
  }

  #checkRecovery(): void {
    if (this.#awaited?.size === 0) this.#recovered();
  }

  #recovered(): void {
    if (this.#awaited === undefined) return;
    this.#awaited = undefined;
    this.#recoveryTimer?.cancel();
    this.#recoveryTimer = undefined;
    this.#kernel.recovered();
    for (const session of this.#sessions.values()) if (session.isEstablished) this.#feed(session);
    this.#flush();
  }
}

/** Whether a session must begin anew for the other configuration. */
function isOther(x: PeerConfig, y: PeerConfig): boolean {
  return (
    x.neighbor !== y.neighbor ||
    x.port !== y.port ||
    x.remoteAs !== y.remoteAs ||
    x.localAs !== y.localAs ||
    x.sourceAddress !== y.sourceAddress ||
    x.passive !== y.passive ||
    x.ttlSecurity !== y.ttlSecurity ||
    x.addPaths !== y.addPaths ||
    x.gracefulRestartTime !== y.gracefulRestartTime ||
    x.rrClient !== y.rrClient ||
    x.rrClusterId !== y.rrClusterId ||
    x.nextHopSelf !== y.nextHopSelf ||
    x.nextHopKeep !== y.nextHopKeep ||
    x.allowLocalAs !== y.allowLocalAs ||
    x.holdTime !== y.holdTime ||
    x.keepaliveTime !== y.keepaliveTime
  );
}

/** As `bgp_get_status` writes it. */
function sessionInfo({ bgpState, lastError }: SessionStatus): string {
  return lastError === "" ? bgpState : `${bgpState.padEnd(14)}${lastError}`;
}

const filterIds = new WeakMap<object, number>();
let lastFilterId = 0;

/** Peers with one and the same filter object are told the same. */
function filterId(filter: object): number {
  let id = filterIds.get(filter);
  if (id === undefined) {
    id = ++lastFilterId;
    filterIds.set(filter, id);
  }
  return id;
}
