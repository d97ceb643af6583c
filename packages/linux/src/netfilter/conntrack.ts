import {
  ICMPV6_ECHO_REQUEST,
  IcmpMessage,
  IPPROTO_ICMP,
  IPPROTO_ICMPV6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  type IpAddress,
  type IpPacket,
  isIcmpError,
  NDISC_REDIRECT,
  NeighbourMessage,
  QuotedPacket,
} from "@cnilab/net";
import type { FlowEffect } from "../flow-cache.ts";
import type { NetNamespace } from "../net-namespace.ts";
import type { Skb } from "../skb.ts";
import type { ConntrackStep } from "../trace.ts";
import { ConntrackSettings } from "./conntrack/conntrack-settings.ts";
import { addressWord, ConntrackTable, hashTuple, tupleKind } from "./conntrack/conntrack-table.ts";
import {
  invertPorts,
  invertTuple,
  isIcmp,
  makeTuple,
  sameTuple,
  tuplePorts,
} from "./conntrack/conntrack-tuple.ts";
import { trackGeneric, trackIcmp } from "./conntrack/icmp-tracker.ts";
import { trackSctp } from "./conntrack/sctp-tracker.ts";
import { TCP_CONNTRACK_CLOSE, trackTcp } from "./conntrack/tcp-tracker.ts";
import { TRACK_AGAIN, TRACK_INVALID, type Tracked, type Tracker } from "./conntrack/tracker.ts";
import { trackUdp } from "./conntrack/udp-tracker.ts";
import {
  ConntrackEntry,
  type ConntrackInfo,
  directionOf,
  IP_CT_DIR_ORIGINAL,
  IP_CT_DIR_REPLY,
  IP_CT_ESTABLISHED,
  IP_CT_ESTABLISHED_REPLY,
  IP_CT_NEW,
  IP_CT_RELATED,
  IP_CT_RELATED_REPLY,
  IP_CT_UNTRACKED,
  IPS_FIXED_TIMEOUT,
  IPS_NAT_CLASH,
  IPS_NAT_DONE_MASK,
  IPS_SEEN_REPLY,
  type Tuple,
} from "./conntrack-entry.ts";
import { NF_ACCEPT, NF_DROP, type NfVerdict } from "./hooks.ts";
import type { NatHooks } from "./nat/nat-hooks.ts";

/** What `conntrack -S` counts. */
export interface ConntrackStatistics {
  /** Tuples that NAT found taken. */
  found: number;
  /** Packets that could not be tracked. */
  invalid: number;
  /** ICMP errors about unknown connections. */
  error: number;
  insert: number;
  insertFailed: number;
  drop: number;
  earlyDrop: number;
  clashResolve: number;
}

/** Which connections: all that is given has to be equal (`conntrack -D`, netlink's ConntrackFilter). */
export interface ConntrackFilter {
  readonly family?: 4 | 6;
  readonly protocol?: number;
  readonly zone?: number;
  readonly mark?: number;
  readonly original?: Partial<Tuple>;
  readonly reply?: Partial<Tuple>;
}

/** Milliseconds between two collections of what has ended, at least and at most. */
const SWEEP_MIN_MS = 60_000;
const SWEEP_MAX_MS = 3_600_000;
/** Milliseconds that the loser of a race for a tuple may live. */
const CLASH_MS = 1000;
/** The highest ICMP type that is known (`NR_ICMP_TYPES`). */
const NR_ICMP_TYPES = 18;
/** ICMPv6 that is never tracked: multicast listener and neighbour discovery. */
const UNTRACKED_ICMPV6: readonly number[] = [130, 131, 132, 133, 134, 135, 136, 143];

/** Connection tracking of one namespace (net/netfilter/nf_conntrack_core.c). */
export class Conntrack {
  readonly netns: NetNamespace;
  readonly table: ConntrackTable;
  readonly statistics: ConntrackStatistics = {
    found: 0,
    invalid: 0,
    error: 0,
    insert: 0,
    insertFailed: 0,
    drop: 0,
    earlyDrop: 0,
    clashResolve: 0,
  };
  /** NAT's hook functions by family, while there are any. */
  readonly nat: { 4: NatHooks | undefined; 6: NatHooks | undefined } = {
    4: undefined,
    6: undefined,
  };
  #settings: ConntrackSettings;
  #sweeping = false;
  #invalidDetail = "";

  constructor(netns: NetNamespace) {
    const { network } = netns;
    this.netns = netns;
    this.table = new ConntrackTable(network.clock, () => network.settleFlows());
    this.#settings = new ConntrackSettings(netns);
  }

  /** The sysctls, as they are now. */
  get settings(): ConntrackSettings {
    if (!this.#settings.isCurrent) this.#settings = new ConntrackSettings(this.netns);
    return this.#settings;
  }

  // The packet path

  /** Finds a packet's connection or begins one (`nf_conntrack_in`). */
  track(skb: Skb): NfVerdict {
    // Seen before, on the loopback device, or to be left alone.
    if (skb.ct !== undefined) return NF_ACCEPT;
    if (skb.ctInfo === IP_CT_UNTRACKED) return this.#untracked(skb);
    const packet = skb.ip;
    this.#invalidDetail = "";
    if (isIcmp(packet.protocol)) {
      const handled = this.#trackIcmpError(skb, packet);
      if (handled) return NF_ACCEPT;
    }
    for (;;) {
      const entry = this.#resolve(skb, packet);
      if (entry === "full") {
        this.statistics.drop++;
        this.#drop(skb, "CONNTRACK_FULL", `nf_conntrack: table full (${this.settings.max})`);
        return NF_DROP;
      }
      if (entry === undefined) return this.#untrackable(skb);
      const info = skb.ctInfo;
      const tracked = trackerOf(packet.protocol)(this, entry, skb, info);
      if (tracked === TRACK_AGAIN) {
        skb.ct = undefined;
        continue;
      }
      if (tracked === TRACK_INVALID) {
        skb.ct = undefined;
        skb.ctInfo = 0;
        return this.#untrackable(skb);
      }
      if (info === IP_CT_ESTABLISHED_REPLY) {
        const { status } = entry;
        if ((status & IPS_SEEN_REPLY) === 0) entry.status = status | IPS_SEEN_REPLY;
      }
      if (skb.trace !== undefined) this.#trace(skb, eventOf(info));
      return NF_ACCEPT;
    }
  }

  /** Puts a packet's new connection into the table, or finds that another one was first (`nf_confirm`). */
  confirm(skb: Skb): NfVerdict {
    const entry = skb.ct;
    if (entry === undefined || entry.isConfirmed) return NF_ACCEPT;
    // REJECT lends a connection to packets of the other direction, which begin none.
    if (directionOf(skb.ctInfo) !== IP_CT_DIR_ORIGINAL) return NF_ACCEPT;
    this.unrepeatable();
    let node = this.table.findTuple(entry, IP_CT_DIR_ORIGINAL);
    if (node < 0) node = this.table.findTuple(entry, IP_CT_DIR_REPLY);
    if (node >= 0) return this.#resolveClash(skb, entry, node);
    if (!this.#makeRoom(entry.original)) {
      this.statistics.insertFailed++;
      this.#drop(skb, "CONNTRACK_FULL", `nf_conntrack: table full (${this.settings.max})`);
      return NF_DROP;
    }
    this.#insert(entry);
    if (skb.trace !== undefined) this.#trace(skb, "confirmed");
    return NF_ACCEPT;
  }

  /** Lets a connection live for `ms` more and counts the packet (`nf_ct_refresh_acct`). */
  refresh(entry: ConntrackEntry, info: ConntrackInfo, skb: Skb, ms: number): void {
    const direction = directionOf(info);
    const fixed = (entry.status & IPS_FIXED_TIMEOUT) !== 0;
    if (!fixed) entry.remainingMs = ms;
    const { length } = skb.ip;
    entry.count(direction, length);
    const { recording } = this.netns.network;
    if (recording === undefined) return;
    const { slot } = entry;
    if (slot < 0) {
      recording.unrepeatable();
      return;
    }
    recording.effect(new Refresh(this.table, entry, direction, length, fixed ? undefined : ms));
    recording.dependsOn(this.table.condition(slot));
    this.repeatableFor(this.table.remaining(slot) - 1);
  }

  /** A recorded walk may be repeated for `ms` more. */
  repeatableFor(ms: number): void {
    const { recording, clock } = this.netns.network;
    recording?.expires(Math.floor(clock.now) + ms);
  }

  /** A recorded walk must not be repeated. */
  unrepeatable(): void {
    this.netns.network.recording?.unrepeatable();
  }

  /** For trackers: the packet is not valid, and why. */
  invalid(detail: string): Tracked {
    this.#invalidDetail = detail;
    return TRACK_INVALID;
  }

  /**
   * Gives a packet that answers another one that one's connection (`nf_ct_attach`), as REJECT does. What answers an
   * untracked one has no connection, but looks related: rules can no longer leave it untracked.
   */
  attach(answer: Skb, about: Skb): void {
    const { ct } = about;
    if (ct === undefined && about.ctInfo !== IP_CT_UNTRACKED) return;
    answer.ct = ct;
    answer.ctInfo =
      directionOf(about.ctInfo) === IP_CT_DIR_ORIGINAL ? IP_CT_RELATED_REPLY : IP_CT_RELATED;
  }

  /** A rule has reset a TCP connection: it does not live on for days (`nf_conntrack_tcp_set_closing`). */
  setClosing(entry: ConntrackEntry | undefined): void {
    if (entry === undefined || entry.protocol !== IPPROTO_TCP || !entry.isConfirmed) return;
    const old = entry.state;
    entry.state = TCP_CONNTRACK_CLOSE;
    if (old === TCP_CONNTRACK_CLOSE || (entry.status & IPS_FIXED_TIMEOUT) !== 0) return;
    entry.remainingMs = this.settings.tcp[TCP_CONNTRACK_CLOSE] as number;
  }

  // Views and agents

  /** Connections that live, in the order of the table. */
  *entries(): Generator<ConntrackEntry> {
    const { table } = this;
    this.netns.network.settleFlows();
    for (let slot = 0; slot < table.slots; slot++) {
      if (!table.isUsed(slot) || table.isExpired(slot)) continue;
      // Losers of a race are not listed.
      if ((table.status(slot) & IPS_NAT_CLASH) !== 0) continue;
      yield ConntrackEntry.view(table, slot);
    }
  }

  /** How many connections live (`conntrack -C`). */
  get size(): number {
    this.sweep();
    return this.table.count;
  }

  /** The connection that a tuple belongs to, in whichever direction (`conntrack -G`). */
  find(tuple: Tuple, zone = 0): ConntrackEntry | undefined {
    this.netns.network.settleFlows();
    const zones = zone | (zone << 16);
    const node = this.#findTuple(tuple, zone, zones);
    return node < 0 ? undefined : this.table.entry(node >>> 1);
  }

  /** Ends connections (`conntrack -D`). @returns how many */
  delete(which: ConntrackEntry | ConntrackFilter | ((entry: ConntrackEntry) => boolean)): number {
    if (which instanceof ConntrackEntry) return this.end(which) ? 1 : 0;
    const matches =
      typeof which === "function" ? which : (entry: ConntrackEntry) => matchesFilter(entry, which);
    const { table } = this;
    let count = 0;
    for (let slot = 0; slot < table.slots; slot++) {
      if (!table.isUsed(slot) || table.isExpired(slot)) continue;
      if (!matches(ConntrackEntry.view(table, slot))) continue;
      table.remove(slot);
      count++;
    }
    return count;
  }

  /** Ends all connections (`conntrack -F`). */
  flush(): void {
    this.delete(() => true);
  }

  /** Ends one connection. False where it has ended before. */
  end(entry: ConntrackEntry): boolean {
    const { slot } = entry;
    if (slot < 0) return false;
    this.unrepeatable();
    this.table.remove(slot);
    return true;
  }

  /** Forgets connections that were masqueraded behind a device that went down or lost an address. */
  endMasqueraded(ifindex: number, address?: IpAddress): void {
    const { table } = this;
    for (let slot = 0; slot < table.slots; slot++) {
      if (!table.isUsed(slot) || table.masqueradeIndex(slot) !== ifindex) continue;
      if (address !== undefined && table.tuple(slot, IP_CT_DIR_REPLY).dst !== address) continue;
      table.remove(slot);
    }
  }

  /** Collects what has ended. @returns milliseconds until the next connection does */
  sweep(): number | undefined {
    this.netns.network.settleFlows();
    return this.table.sweep();
  }

  // Behind the above

  /** The connection of a packet, found or begun; `undefined` where there can be none (`resolve_normal_ct`). */
  #resolve(skb: Skb, packet: IpPacket): ConntrackEntry | "full" | undefined {
    const ports = tuplePorts(packet);
    if (Number.isNaN(ports)) {
      this.#invalidDetail = "a fragment without its header";
      return undefined;
    }
    const { src, dst, protocol } = packet;
    const zones = skb.ctZones;
    const kind = tupleKind(protocol, packet.version === 6);
    const srcWord = addressWord(src);
    const dstWord = addressWord(dst);
    const { table } = this;
    let node = table.find(srcWord, dstWord, ports, kind, zones & 0xffff, zones);
    if (node < 0 && (zones & 0xffff) !== zones >>> 16) {
      node = table.find(srcWord, dstWord, ports, kind, zones >>> 16, zones);
    }
    if (node < 0) return this.#begin(skb, packet, ports);
    const entry = table.entry(node >>> 1);
    skb.ct = entry;
    if ((node & 1) === IP_CT_DIR_REPLY) skb.ctInfo = IP_CT_ESTABLISHED_REPLY;
    else skb.ctInfo = (entry.status & IPS_SEEN_REPLY) !== 0 ? IP_CT_ESTABLISHED : IP_CT_NEW;
    return entry;
  }

  /** A new connection, which belongs to its packet until it is confirmed (`init_conntrack`). */
  #begin(skb: Skb, packet: IpPacket, ports: number): ConntrackEntry | "full" | undefined {
    const { src, dst, protocol } = packet;
    const original = makeTuple(protocol, src, dst, ports);
    const reply = invertTuple(original);
    if (reply === undefined) {
      this.#invalidDetail = `ICMP type ${original.dstPort >>> 8} has no answer`;
      return undefined;
    }
    this.unrepeatable();
    if (!this.#makeRoom(original)) return "full";
    const entry = new ConntrackEntry(original, reply, skb.ctZones);
    if (this.settings.accounting) entry.startCounting();
    skb.ct = entry;
    skb.ctInfo = IP_CT_NEW;
    return entry;
  }

  /** Whether there is room for one more, if need be by ending another that is not assured. */
  #makeRoom(original: Tuple): boolean {
    const { max } = this.settings;
    if (max === 0 || this.table.count < max) return true;
    const { src, dst, srcPort, dstPort, protocol } = original;
    const hash = hashTuple(
      addressWord(src),
      addressWord(dst),
      (srcPort << 16) | dstPort,
      tupleKind(protocol, typeof src !== "number"),
      0,
    );
    const evicted = this.table.evict(hash);
    if (evicted < 0) return false;
    this.statistics.earlyDrop += evicted;
    return this.table.count < max;
  }

  #insert(entry: ConntrackEntry): void {
    this.table.insert(entry);
    this.statistics.insert++;
    this.#scheduleSweep(SWEEP_MIN_MS);
  }

  /** Another packet has confirmed the same tuple first (`nf_ct_resolve_clash`). */
  #resolveClash(skb: Skb, loser: ConntrackEntry, node: number): NfVerdict {
    if (allowsClash(loser.protocol) && this.#resolvesClash(skb, loser, node)) return NF_ACCEPT;
    this.statistics.drop++;
    this.statistics.insertFailed++;
    if (loser.tupleExhausted) this.#drop(skb, "NAT_NO_TUPLE", "NAT found no free port");
    else this.#drop(skb, "CONNTRACK_CLASH", "another packet has taken the tuple (insert_failed)");
    return NF_DROP;
  }

  #resolvesClash(skb: Skb, loser: ConntrackEntry, node: number): boolean {
    const { clashResolution } = this.netns.kernel;
    if (clashResolution === "untranslated") {
      const winner = this.table.entry(node >>> 1);
      return (winner.status & IPS_NAT_DONE_MASK) === 0 && this.#joinWinner(skb, loser, node);
    }
    if (this.#joinWinner(skb, loser, node)) return true;
    if (clashResolution === "matching") return false;
    const replyNode = this.table.findTuple(loser, IP_CT_DIR_REPLY);
    if (replyNode >= 0) return this.#joinWinner(skb, loser, replyNode);
    this.#insertClashing(skb, loser);
    return true;
  }

  /** The packet goes on as one of the connection that won, if NAT gave both the same tuples or none. */
  #joinWinner(skb: Skb, loser: ConntrackEntry, node: number): boolean {
    const winner = this.table.entry(node >>> 1);
    const same =
      sameTuple(winner.original, loser.original) &&
      sameTuple(winner.reply, loser.reply) &&
      winner.zones === loser.zones;
    if ((winner.status & IPS_NAT_DONE_MASK) !== 0 && !same) return false;
    const bytes = loser.counter(IP_CT_DIR_ORIGINAL)?.bytes;
    if (bytes !== undefined) winner.count(directionOf(skb.ctInfo), bytes);
    skb.ct = winner;
    this.statistics.clashResolve++;
    return true;
  }

  /** Only the original tuple is taken: answers to this packet are known by the reply tuple, for a second. */
  #insertClashing(skb: Skb, loser: ConntrackEntry): void {
    loser.remainingMs = CLASH_MS;
    loser.status |= IPS_FIXED_TIMEOUT | IPS_NAT_CLASH;
    this.#insert(loser);
    this.statistics.clashResolve++;
    if (skb.trace !== undefined) this.#trace(skb, "confirmed");
  }

  /**
   * ICMP errors belong to the connection that they quote; neighbour discovery to none. True when that
   * settles the packet (`nf_conntrack_handle_icmp`).
   */
  #trackIcmpError(skb: Skb, packet: IpPacket): boolean {
    const message = packet.payload;
    if (message instanceof NeighbourMessage) {
      if (message.type === NDISC_REDIRECT) return this.#unrelated(skb, "redirect without options");
      skb.ctInfo = IP_CT_UNTRACKED;
      return this.#untracked(skb) === NF_ACCEPT;
    }
    if (!(message instanceof IcmpMessage)) return false;
    const { version } = packet;
    if (version === 4 && message.type > NR_ICMP_TYPES) {
      return this.#unrelated(skb, `ICMP type ${message.type}`);
    }
    if (version === 6 && UNTRACKED_ICMPV6.includes(message.type)) {
      skb.ctInfo = IP_CT_UNTRACKED;
      return this.#untracked(skb) === NF_ACCEPT;
    }
    if (version === 6 && message.type >= ICMPV6_ECHO_REQUEST) return false;
    if (version === 4 && !isIcmpError(4, message.type)) return false;
    const node = this.#nodeOfQuoted(skb, message);
    if (node < 0) return this.#unrelated(skb, "ICMP error about an unknown connection");
    const direction = node & 1;
    const entry = this.table.entry(node >>> 1);
    // It has to go where the packet that it quotes came from, as that one's answers do.
    const expected = entry.tuple(direction === 0 ? IP_CT_DIR_ORIGINAL : IP_CT_DIR_REPLY).dst;
    if (packet.dst !== expected) return this.#unrelated(skb, "ICMP error for another address");
    skb.ct = entry;
    skb.ctInfo = direction === IP_CT_DIR_REPLY ? IP_CT_RELATED_REPLY : IP_CT_RELATED;
    this.unrepeatable();
    if (skb.trace !== undefined) this.#trace(skb, "related");
    return true;
  }

  /** The node of the connection that an ICMP error is about; -1 where it is unknown. */
  #nodeOfQuoted(skb: Skb, message: IcmpMessage): number {
    const quoted = message.payload;
    if (!(quoted instanceof QuotedPacket)) return -1;
    const { src, dst, protocol } = quoted.packet;
    const ports = invertPorts(protocol, tuplePorts(quoted.packet));
    if (Number.isNaN(ports)) return -1;
    const zones = skb.ctZones;
    const tuple = makeTuple(protocol, dst, src, ports);
    const node = this.#findTuple(tuple, zones & 0xffff, zones);
    if (node >= 0 || (zones & 0xffff) === zones >>> 16) return node;
    return this.#findTuple(tuple, zones >>> 16, zones);
  }

  #findTuple(tuple: Tuple, hashZone: number, zones: number): number {
    const { src, dst, srcPort, dstPort, protocol } = tuple;
    return this.table.find(
      addressWord(src),
      addressWord(dst),
      (srcPort << 16) | dstPort,
      tupleKind(protocol, typeof src !== "number"),
      hashZone,
      zones,
    );
  }

  #untracked(skb: Skb): NfVerdict {
    if (skb.trace !== undefined) this.#trace(skb, "untracked");
    return NF_ACCEPT;
  }

  #unrelated(skb: Skb, detail: string): true {
    this.statistics.error++;
    this.#invalidDetail = detail;
    if (skb.trace !== undefined) this.#trace(skb, "invalid");
    this.unrepeatable();
    return true;
  }

  #untrackable(skb: Skb): NfVerdict {
    this.statistics.invalid++;
    this.unrepeatable();
    if (skb.trace !== undefined) this.#trace(skb, "invalid");
    return NF_ACCEPT;
  }

  #drop(
    skb: Skb,
    reason: "CONNTRACK_FULL" | "CONNTRACK_CLASH" | "NAT_NO_TUPLE",
    detail: string,
  ): void {
    this.netns.network.drop(skb, this.netns, reason, skb.dev, detail);
  }

  #trace(skb: Skb, event: ConntrackStep["event"]): void {
    skb.trace?.steps.push({
      kind: "conntrack",
      netns: this.netns,
      packet: skb.number,
      event,
      entry: skb.ct?.snapshot(),
      detail: event === "invalid" ? this.#invalidDetail : "",
    });
  }

  /** One background task for all connections, as long as there are any (`gc_worker`). */
  #scheduleSweep(ms: number): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    this.netns.network.clock.schedule(
      ms,
      () => {
        this.#sweeping = false;
        const next = this.sweep();
        if (next === undefined) return;
        this.#scheduleSweep(Math.min(Math.max(next, SWEEP_MIN_MS), SWEEP_MAX_MS));
      },
      { background: true },
    );
  }
}

/** What each packet of an established flow does to its connection. */
class Refresh implements FlowEffect {
  readonly #table: ConntrackTable;
  readonly #entry: ConntrackEntry;
  readonly #direction: 0 | 1;
  readonly #bytes: number;
  readonly #timeoutMs: number | undefined;

  constructor(
    table: ConntrackTable,
    entry: ConntrackEntry,
    direction: 0 | 1,
    bytes: number,
    timeoutMs: number | undefined,
  ) {
    this.#table = table;
    this.#entry = entry;
    this.#direction = direction;
    this.#bytes = bytes;
    this.#timeoutMs = timeoutMs;
  }

  repeat(packets: number, time: number): void {
    const { slot } = this.#entry;
    if (slot < 0) return;
    if (this.#timeoutMs !== undefined) {
      this.#table.setEnd(slot, (Math.floor(time) + this.#timeoutMs) | 0);
    }
    this.#entry.count(this.#direction, packets * this.#bytes, packets);
  }
}

function trackerOf(protocol: number): Tracker {
  switch (protocol) {
    case IPPROTO_TCP:
      return trackTcp;
    case IPPROTO_UDP:
      return trackUdp;
    case IPPROTO_SCTP:
      return trackSctp;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6:
      return trackIcmp;
    default:
      return trackGeneric;
  }
}

/** Whether two packets may have begun the same connection at once: all but TCP, SCTP and ICMP. */
function allowsClash(protocol: number): boolean {
  return protocol !== IPPROTO_TCP && protocol !== IPPROTO_SCTP && !isIcmp(protocol);
}

function eventOf(info: ConntrackInfo): ConntrackStep["event"] {
  if (info === IP_CT_NEW) return "new";
  return info === IP_CT_ESTABLISHED ? "established" : "reply";
}

function matchesFilter(entry: ConntrackEntry, filter: ConntrackFilter): boolean {
  return (
    (filter.family === undefined || filter.family === entry.family) &&
    (filter.protocol === undefined || filter.protocol === entry.protocol) &&
    (filter.zone === undefined || filter.zone === entry.zone) &&
    (filter.mark === undefined || filter.mark === entry.mark) &&
    matchesTuple(entry.original, filter.original) &&
    matchesTuple(entry.reply, filter.reply)
  );
}

function matchesTuple(tuple: Tuple, filter: Partial<Tuple> | undefined): boolean {
  if (filter === undefined) return true;
  return (
    (filter.protocol === undefined || filter.protocol === tuple.protocol) &&
    (filter.src === undefined || filter.src === tuple.src) &&
    (filter.dst === undefined || filter.dst === tuple.dst) &&
    (filter.srcPort === undefined || filter.srcPort === tuple.srcPort) &&
    (filter.dstPort === undefined || filter.dstPort === tuple.dstPort)
  );
}
