import type { Clock, Timer } from "@cnilab/core";
import {
  isWireMessage,
  MessageReader,
  type NetNamespace,
  type SocketError,
  say,
  TcpConnection,
} from "@cnilab/linux";
import { formatIp, type IpAddress } from "@cnilab/net";
import { HOLD_TIME, type PeerConfig, type SpeakerConfig } from "./config.ts";
import { DEFAULT_LOCAL_PREF, filterView } from "./export.ts";
import { runFilter } from "./filter.ts";
import {
  type BgpMessage,
  BgpMessages,
  KEEPALIVE,
  type Notification,
  type Open,
  type Update,
} from "./message.ts";
import { notificationText } from "./notification-text.ts";
import type { PathAttributes } from "./path-attributes.ts";
import { type BgpSender, DEFAULT_PREFERENCE } from "./route.ts";
import type { RouteTable } from "./table.ts";

/** `connect delay time`, `connect retry time` and `error wait time` of Calico's configuration, in milliseconds. */
const CONNECT_DELAY_MS = 2000;
const CONNECT_RETRY_MS = 5000;
const ERROR_WAIT_MS: readonly [least: number, most: number] = [5000, 30_000];

/** So often somebody waits for a neighbour that does not answer; from then on it goes on in the background. */
const PATIENCE = 3;

/** The states of RFC 4271 §8.2.2. */
type ConnectionState = "Connect" | "OpenSent" | "OpenConfirm" | "Established";

const ORDER: readonly string[] = ["Connect", "OpenSent", "OpenConfirm", "Established"];

/** One TCP connection to the neighbour; there may be two until one is given up. */
class PeerConnection {
  readonly tcp: TcpConnection;
  /** Whether this side opened it. */
  readonly isOutgoing: boolean;
  readonly reader = new MessageReader();
  state: ConnectionState = "Connect";
  open: Open | undefined = undefined;
  closed = false;

  constructor(tcp: TcpConnection, isOutgoing: boolean) {
    this.tcp = tcp;
    this.isOutgoing = isOutgoing;
  }
}

/** What a session is in a list of protocols (`show protocols`). */
export interface SessionStatus {
  readonly name: string;
  readonly neighbor: IpAddress;
  readonly state: "down" | "start" | "up";
  /** Virtual milliseconds of the last change of `state`. */
  readonly since: number;
  /** `Established`, `Active`, `Passive` … */
  readonly bgpState: string;
  /** What ended the session before, as `Socket: Connection refused`; empty where nothing did. */
  readonly lastError: string;
}

/** The speaker that a session belongs to. */
export interface SessionOwner {
  readonly netns: NetNamespace;
  readonly clock: Clock;
  readonly program: string;
  readonly config: SpeakerConfig;
  readonly table: RouteTable;
  /** Whether it has just started anew and hears its neighbours first. */
  readonly isRecovering: boolean;
  nextPathId(): number;
  /** What it says first to a peer of this configuration. */
  openOf(peer: PeerConfig): BgpMessages;
  /** @param tellsAll the neighbour will say when it has told everything it knows */
  established(session: BgpSession, tellsAll: boolean): void;
  /** The neighbour has told all there was. */
  heardAll(session: BgpSession): void;
  ended(session: BgpSession): void;
  feedAgain(session: BgpSession): void;
  beginRefresh(session: BgpSession): void;
  /** What the neighbour has not told again is gone. */
  endRefresh(session: BgpSession): void;
}

/** `protocol bgp`: one neighbour (proto/bgp/bgp.c). */
export class BgpSession implements BgpSender {
  readonly source = "bgp";
  config: PeerConfig;
  readonly #speaker: SessionOwner;
  #state: SessionStatus["state"] = "down";
  #since: number;
  /** Waits for its time to begin (`BSS_DELAY`). */
  #delayed = false;
  #outgoing: PeerConnection | undefined;
  #incoming: PeerConnection | undefined;
  #established: PeerConnection | undefined;
  #connectTimer: Timer | undefined;
  #holdTimer: Timer | undefined;
  #restartTimer: Timer | undefined;
  #startTimer: Timer | undefined;
  #startupDelay = 0;
  #attempts = 0;
  #lastError = "";
  #remoteId = 0;
  /** Seconds, as both ends have agreed. */
  #holdTime: number;
  /** The neighbour may be back soon, and its routes are kept (`gr_active`). */
  #waitsForRestart = false;
  #addPath = false;
  #told = false;
  /** Own name of the one path to each prefix, while the neighbour tells no more. */
  #onlyPathId = 0;
  /** Own names of the neighbour's other paths. */
  #pathIds: Map<number, number> | undefined = undefined;
  /** When the neighbour was last known to be there; see {@link keepAlive}. */
  #lastHeard = 0;
  #heardEpoch = -1;
  #sentEpoch = -1;
  #lastSent = 0;

  constructor(speaker: SessionOwner, config: PeerConfig) {
    this.#speaker = speaker;
    this.config = config;
    this.#since = speaker.clock.now;
    this.#holdTime = config.holdTime ?? HOLD_TIME;
  }

  get name(): string {
    return this.config.name;
  }

  get neighbor(): IpAddress {
    return this.config.neighbor;
  }

  get remoteId(): number {
    return this.#remoteId;
  }

  get isInternal(): boolean {
    return this.config.localAs === this.config.remoteAs;
  }

  get rrClient(): boolean {
    return this.config.rrClient;
  }

  get rrClusterId(): number {
    return this.config.rrClusterId ?? this.#speaker.config.routerId;
  }

  /** Whether several paths to a prefix may be told. */
  get addPath(): boolean {
    return this.#addPath;
  }

  /** Its end of the connection. */
  get localAddress(): IpAddress {
    return this.#established?.tcp.localAddress ?? 0;
  }

  get isEstablished(): boolean {
    return this.#established !== undefined;
  }

  /** The neighbour waits for the end of what there is (it understands graceful restart). */
  get wantsEndOfRib(): boolean {
    return this.#established?.open?.gracefulRestart !== undefined;
  }

  get keepaliveMs(): number {
    const { keepaliveTime } = this.config;
    return 1000 * (keepaliveTime ?? Math.max(1, Math.floor(this.#holdTime / 3)));
  }

  get status(): SessionStatus {
    return {
      name: this.name,
      neighbor: this.neighbor,
      state: this.#state,
      since: this.#since,
      bgpState: this.#bgpState(),
      lastError: this.#lastError,
    };
  }

  /** `bgp_state_dsc`. */
  #bgpState(): string {
    if (this.#state === "down") return "Down";
    if (this.#established !== undefined) return "Established";
    const [out, into] = [this.#outgoing, this.#incoming];
    const best = [out, into].flatMap((c) => (c === undefined ? [] : ORDER.indexOf(c.state)));
    if (best.length > 0) return ORDER[Math.max(...best)] as string;
    if (this.#delayed) return "Idle";
    if (this.config.passive) return "Passive";
    return this.#connectTimer === undefined ? "Idle" : "Active";
  }

  /** `bgp_start`. */
  start(): void {
    this.#setState("start");
    this.#delayed = this.#startupDelay > 0;
    if (!this.#delayed) {
      this.#active();
      return;
    }
    this.#startTimer = this.#later(this.#startupDelay, () => {
      this.#startTimer = undefined;
      this.#delayed = false;
      this.#active();
    });
  }

  /** Ends it for good, telling the neighbour why; its routes are gone. */
  shutdown(subcode: number): void {
    for (const connection of [this.#established, this.#outgoing, this.#incoming]) {
      if (connection !== undefined) this.#notify(connection, { code: 6, subcode });
    }
    this.#down();
    this.#setState("down");
  }

  /** The process was killed: its kernel closes the connections, and nobody says why. */
  kill(): void {
    for (const timer of this.#timers()) timer?.cancel();
    for (const connection of [this.#established, this.#outgoing, this.#incoming]) {
      if (connection === undefined) continue;
      connection.closed = true;
      connection.tcp.onEnd = undefined;
      closeSocket(connection.tcp);
    }
    this.#established = undefined;
  }

  *#timers(): Iterable<Timer | undefined> {
    yield* [this.#connectTimer, this.#holdTimer, this.#restartTimer, this.#startTimer];
  }

  /** A connection from the neighbour (`bgp_incoming_connection`). @returns whether it is taken */
  accept(tcp: TcpConnection): boolean {
    const { ttlSecurity } = this.config;
    if (ttlSecurity !== undefined && (tcp.synTtl ?? 255) < 256 - ttlSecurity) return false;
    const current = this.#established;
    if (current !== undefined && this.#canWaitForRestart(current)) {
      this.#lastError = "Error: Graceful restart";
      this.#awaitRestart();
      this.#drop(current);
      if (this.#incoming !== undefined) this.#drop(this.#incoming);
    }
    if (this.#state === "down" || this.#delayed || this.#incoming !== undefined) return false;
    if (this.#established !== undefined) return false;
    this.#incoming = this.#attach(tcp, false);
    this.#sendOpen(this.#incoming);
    return true;
  }

  /** Tells the neighbour; nothing where there is no session. */
  send(messages: BgpMessages): void {
    const connection = this.#established;
    if (connection !== undefined) this.#say(connection, messages);
  }

  /** Asks for all routes again, as for a filter that is another one now. */
  refresh(): void {
    if (this.#established === undefined) return;
    this.#speaker.beginRefresh(this);
    this.send(new BgpMessages([{ type: "ROUTE-REFRESH" }]));
  }

  /**
   * Time has come for a keepalive. While nothing in the whole network has changed since the last ones were sent and heard,
   * the next ones would be, too: they are not sent then, so that time passes at no cost.
   */
  keepAlive(): void {
    const connection = this.#established;
    if (connection === undefined) return;
    const { now } = this.#speaker.clock;
    const { epoch } = this.#speaker.netns.network;
    if (this.#sentEpoch !== epoch || now - this.#lastSent >= LONGEST_SILENCE_MS) {
      this.#say(connection, KEEPALIVES);
    }
    if (this.#established !== connection) return;
    if (this.#heardEpoch === epoch) this.#lastHeard = now;
    else this.#armHoldTimer();
  }

  #armHoldTimer(): void {
    if (this.#holdTimer !== undefined || this.#holdTime === 0) return;
    const { clock, netns } = this.#speaker;
    const at = this.#lastHeard + 1000 * this.#holdTime;
    const check = () => {
      this.#holdTimer = undefined;
      if (this.#established === undefined) return;
      if (this.#heardEpoch === netns.network.epoch) this.#lastHeard = clock.now;
      if (clock.now - this.#lastHeard >= 1000 * this.#holdTime) {
        this.#fail(this.#established, { code: 4, subcode: 0 });
      } else this.#armHoldTimer();
    };
    this.#holdTimer = clock.schedule(Math.max(0, at - clock.now), check, { background: true });
  }

  // --- connecting

  /** `bgp_active`. */
  #active(): void {
    if (this.config.passive || this.#state === "down" || this.#connectTimer !== undefined) return;
    this.#connectTimer = this.#later(CONNECT_DELAY_MS, () => {
      this.#connectTimer = undefined;
      this.#connect();
    });
  }

  /** Somebody waits for the first attempts. */
  #later(delayMs: number, task: () => void): Timer {
    const background = this.#attempts >= PATIENCE;
    return this.#speaker.clock.schedule(delayMs, task, { background });
  }

  #connect(): void {
    if (this.#state !== "start" || this.#outgoing !== undefined) return;
    this.#attempts++;
    const { neighbor, port, sourceAddress, ttlSecurity } = this.config;
    const tcp = TcpConnection.connect(this.#speaker.netns, {
      prepare: (made) => this.#connecting(made),
      dst: neighbor,
      port,
      src: sourceAddress,
      owner: this.#speaker.program,
      ttl: ttlSecurity === undefined ? undefined : 255,
    });
    if ("errno" in tcp) {
      this.#storeSocketError(tcp);
      this.#active();
      return;
    }
  }

  #connecting(tcp: TcpConnection): void {
    const connection = this.#attach(tcp, true);
    this.#outgoing = connection;
    tcp.onEstablished = () => {
      this.#connectTimer?.cancel();
      this.#connectTimer = undefined;
      tcp.onEstablished = undefined;
      this.#sendOpen(connection);
    };
    this.#connectTimer = this.#later(CONNECT_RETRY_MS, () => {
      this.#connectTimer = undefined;
      if (connection.closed || connection.state !== "Connect") return;
      this.#drop(connection);
      this.#connect();
    });
  }

  #attach(tcp: TcpConnection, isOutgoing: boolean): PeerConnection {
    const connection = new PeerConnection(tcp, isOutgoing);
    tcp.onData = (data) => {
      const messages = connection.reader.take(data);
      if (!isWireMessage(messages) || !(messages instanceof BgpMessages)) return;
      for (const message of messages.list) {
        if (!connection.closed) this.#receive(connection, message);
      }
    };
    tcp.onEnd = () => this.#socketEnded(connection);
    return connection;
  }

  #sendOpen(connection: PeerConnection): void {
    connection.state = "OpenSent";
    this.#say(connection, this.#speaker.openOf(this.config));
  }

  #say(connection: PeerConnection, messages: BgpMessages): void {
    const { netns, clock } = this.#speaker;
    this.#sentEpoch = netns.network.epoch;
    this.#lastSent = clock.now;
    say(connection.tcp, messages);
  }

  // --- hearing

  #receive(connection: PeerConnection, message: BgpMessage): void {
    const { netns, clock } = this.#speaker;
    this.#lastHeard = clock.now;
    this.#heardEpoch = netns.network.epoch;
    this.#holdTimer?.cancel();
    this.#holdTimer = undefined;
    switch (message.type) {
      case "OPEN":
        if (connection.state === "OpenSent") this.#opened(connection, message);
        else this.#fail(connection, { code: 5, subcode: 0 });
        break;
      case "KEEPALIVE":
        if (connection.state === "OpenConfirm") this.#establish(connection);
        break;
      case "NOTIFICATION":
        this.#notified(connection, message);
        break;
      case "UPDATE":
        if (connection.state === "OpenConfirm") this.#establish(connection);
        if (connection === this.#established) this.#updated(message);
        break;
      case "ROUTE-REFRESH":
        if (connection === this.#established) this.#speaker.feedAgain(this);
        break;
    }
  }

  /** `bgp_rx_open`. */
  #opened(connection: PeerConnection, open: Open): void {
    const { remoteAs, localAs } = this.config;
    const { routerId } = this.#speaker.config;
    const isBadId = open.routerId === 0 || (this.isInternal && open.routerId === routerId);
    if (open.as !== remoteAs || isBadId) {
      this.#fail(connection, { code: 2, subcode: open.as !== remoteAs ? 2 : 3 });
      return;
    }
    const other = connection.isOutgoing ? this.#incoming : this.#outgoing;
    if (this.#established !== undefined && this.#established !== connection) {
      this.#reject(connection);
      return;
    }
    if (other?.state === "Connect") this.#drop(other);
    if (other?.state === "OpenConfirm") {
      // The speaker with the higher id opens the connection that stays (RFC 4271 §6.8, RFC 6286).
      const isDominant =
        routerId > open.routerId || (routerId === open.routerId && localAs > open.as);
      this.#reject(isDominant === connection.isOutgoing ? other : connection);
      if (connection.closed) return;
    }
    connection.open = open;
    connection.state = "OpenConfirm";
    this.#remoteId = open.routerId;
    this.#holdTime = Math.min(this.config.holdTime ?? HOLD_TIME, open.holdTime);
    this.#addPath = this.config.addPaths && open.addPath;
    this.#say(connection, KEEPALIVES);
  }

  /** `bgp_conn_enter_established_state`. */
  #establish(connection: PeerConnection): void {
    connection.state = "Established";
    this.#established = connection;
    if (connection === this.#outgoing) this.#outgoing = undefined;
    if (connection === this.#incoming) this.#incoming = undefined;
    const other = this.#outgoing ?? this.#incoming;
    if (other !== undefined) this.#drop(other);
    this.#connectTimer?.cancel();
    this.#connectTimer = undefined;
    this.#restartTimer?.cancel();
    this.#restartTimer = undefined;
    this.#attempts = 0;
    this.#startupDelay = 0;
    this.#lastError = "";
    const restart = connection.open?.gracefulRestart;
    if (this.#waitsForRestart && restart?.forwarding !== true) this.#speaker.endRefresh(this);
    this.#waitsForRestart = false;
    this.#told = false;
    this.#setState("up");
    this.#speaker.established(this, restart !== undefined && !restart.restarting);
  }

  #updated(update: Update): void {
    const speaker = this.#speaker;
    const isEnd = update.withdrawn.length === 0 && update.announced.length === 0;
    if (isEnd) {
      this.#speaker.endRefresh(this);
      if (!this.#told) {
        this.#told = true;
        speaker.heardAll(this);
      }
      return;
    }
    for (const { prefix, pathId } of update.withdrawn) {
      speaker.table.withdraw(prefix, this, this.#pathId(pathId));
    }
    const { attributes } = update;
    if (attributes === undefined) return;
    const usable = this.#accepts(attributes)
      ? withLocalPref(attributes, this.isInternal)
      : undefined;
    for (const { prefix, pathId } of update.announced) {
      this.#import(prefix, this.#pathId(pathId), usable);
    }
  }

  /** The checks of `bgp_decode_attrs` against loops. */
  #accepts({ asPath, originatorId, clusterList }: PathAttributes): boolean {
    const { localAs, allowLocalAs } = this.config;
    const own = asPath.reduce((count, as) => count + Number(as === localAs), 0);
    if (own > allowLocalAs) return false;
    if (!this.isInternal) return true;
    const isCircle = this.rrClient && clusterList.includes(this.rrClusterId);
    return originatorId !== this.#speaker.config.routerId && !isCircle;
  }

  #import(
    prefix: Update["announced"][number]["prefix"],
    pathId: number,
    attributes: PathAttributes | undefined,
  ): void {
    const { table } = this.#speaker;
    if (attributes === undefined) {
      table.withdraw(prefix, this, pathId);
      return;
    }
    const route = {
      prefix,
      sender: this,
      preference: DEFAULT_PREFERENCE.bgp,
      pathId,
      destination: undefined,
      hostEntry: table.host(attributes.nextHop),
      attributes,
      krtMetric: undefined as number | undefined,
      stale: false,
    };
    const view = filterView(route, attributes);
    if (!runFilter(this.config.importFilter, view)) {
      table.withdraw(prefix, this, pathId);
      return;
    }
    const isChanged =
      view.localPref !== attributes.localPref ||
      view.med !== attributes.med ||
      view.asPath !== attributes.asPath ||
      view.communities !== attributes.communities ||
      view.largeCommunities !== attributes.largeCommunities;
    const { preference, krtMetric, localPref, med, asPath, communities, largeCommunities } = view;
    table.update({
      ...route,
      preference,
      krtMetric,
      attributes: isChanged
        ? { ...attributes, localPref, med, asPath, communities, largeCommunities }
        : attributes,
    });
  }

  #pathId(remote: number): number {
    if (remote === 0) {
      if (this.#onlyPathId === 0) this.#onlyPathId = this.#speaker.nextPathId();
      return this.#onlyPathId;
    }
    this.#pathIds ??= new Map();
    let own = this.#pathIds.get(remote);
    if (own === undefined) {
      own = this.#speaker.nextPathId();
      this.#pathIds.set(remote, own);
    }
    return own;
  }

  // --- ending

  #notified(connection: PeerConnection, { code, subcode }: Notification): void {
    this.#lastError = `Received: ${notificationText(code, subcode)}`;
    this.#end(connection, true);
  }

  /** `bgp_error`: tells the neighbour what is wrong and ends the session. */
  #fail(connection: PeerConnection, error: Omit<Notification, "type">): void {
    this.#lastError = `BGP Error: ${notificationText(error.code, error.subcode)}`;
    this.#notify(connection, error);
    this.#end(connection, true);
  }

  /** Gives up one of two connections (cease, connection collision resolution). */
  #reject(connection: PeerConnection): void {
    this.#notify(connection, { code: 6, subcode: 7 });
    this.#drop(connection);
  }

  #notify(connection: PeerConnection, error: Omit<Notification, "type">): void {
    if (connection.closed || connection.state === "Connect") return;
    say(connection.tcp, new BgpMessages([{ type: "NOTIFICATION", ...error }]));
  }

  /** The socket is closed, or broken (`bgp_sock_err`). */
  #socketEnded(connection: PeerConnection): void {
    if (connection.closed) return;
    if (connection.tcp.error === undefined) this.#lastError = "Socket: Connection closed";
    else this.#storeSocketError(connection.tcp.error);
    if (connection === this.#established && this.#canWaitForRestart(connection)) {
      this.#awaitRestart();
      this.#drop(connection);
      this.#active();
      return;
    }
    this.#end(connection, false);
  }

  #storeSocketError({ errno }: SocketError): void {
    this.#lastError = `Socket: ${ERRNO_TEXT[errno] ?? errno}`;
  }

  #end(connection: PeerConnection, isError: boolean): void {
    const wasEstablished = connection === this.#established;
    this.#drop(connection);
    if (!wasEstablished && !isError) {
      this.#active();
      return;
    }
    if (isError) {
      const [least, most] = ERROR_WAIT_MS;
      this.#startupDelay =
        this.#startupDelay === 0 ? least : Math.min(2 * this.#startupDelay, most);
    }
    // Another connection may be about to make it.
    if (!wasEstablished && (this.#incoming !== undefined || this.#outgoing !== undefined)) return;
    this.#down();
    this.start();
  }

  /** Without a connection, timers and routes. */
  #down(): void {
    for (const connection of [this.#established, this.#outgoing, this.#incoming]) {
      if (connection !== undefined) this.#drop(connection);
    }
    for (const timer of this.#timers()) timer?.cancel();
    this.#connectTimer = undefined;
    this.#restartTimer = undefined;
    this.#startTimer = undefined;
    this.#waitsForRestart = false;
    this.#speaker.ended(this);
    this.#speaker.table.flush(this);
  }

  #drop(connection: PeerConnection): void {
    connection.closed = true;
    connection.tcp.onEnd = undefined;
    connection.tcp.onEstablished = undefined;
    closeSocket(connection.tcp);
    if (connection === this.#outgoing) {
      this.#outgoing = undefined;
      this.#connectTimer?.cancel();
      this.#connectTimer = undefined;
    }
    if (connection === this.#incoming) this.#incoming = undefined;
    if (connection !== this.#established) return;
    this.#established = undefined;
    this.#holdTimer?.cancel();
    this.#holdTimer = undefined;
  }

  // --- graceful restart (RFC 4724)

  /** `gr_ready`. */
  #canWaitForRestart({ open }: PeerConnection): boolean {
    return this.config.gracefulRestartTime !== undefined && open?.gracefulRestart !== undefined;
  }

  /** `bgp_handle_graceful_restart`: the routes stay, for as long as the neighbour asked. */
  #awaitRestart(): void {
    const { clock } = this.#speaker;
    const time = this.#established?.open?.gracefulRestart?.time ?? 0;
    this.#setState("start");
    this.#waitsForRestart = true;
    this.#attempts = 0;
    this.#speaker.ended(this);
    this.#speaker.beginRefresh(this);
    this.#restartTimer?.cancel();
    const timeout = () => {
      this.#restartTimer = undefined;
      this.#down();
      this.start();
    };
    this.#restartTimer = clock.schedule(1000 * time, timeout, { background: true });
  }

  #setState(state: SessionStatus["state"]): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#since = this.#speaker.clock.now;
  }

  toString(): string {
    return `${this.name} (${formatIp(this.neighbor)})`;
  }
}

const KEEPALIVES = new BgpMessages([KEEPALIVE]);

/** However quiet it is, so often a keepalive is sent, so that connection tracking remembers the session. */
const LONGEST_SILENCE_MS = 24 * 3_600_000;

const ERRNO_TEXT: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  ETIMEDOUT: "Connection timed out",
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
  EPERM: "Operation not permitted",
  EACCES: "Permission denied",
  EADDRNOTAVAIL: "Cannot assign requested address",
};

/** One that answers the neighbour's goodbye ends by itself. */
function closeSocket(tcp: TcpConnection): void {
  if (tcp.state === "SYN-SENT" || tcp.state === "SYN-RECV") tcp.abandon();
  else if (tcp.state !== "LAST-ACK") tcp.close();
}

/** Routes of other ASes come without a local preference, or with one that does not count. */
function withLocalPref(attributes: PathAttributes, isInternal: boolean): PathAttributes {
  if (isInternal && attributes.localPref !== undefined) return attributes;
  return { ...attributes, localPref: DEFAULT_LOCAL_PREF };
}
