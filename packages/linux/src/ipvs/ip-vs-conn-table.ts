import type { VirtualClock } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import { HashChains } from "./hash-chains.ts";
import {
  connHash,
  IP_VS_CONN_F_ONE_PACKET,
  IP_VS_CONN_F_TEMPLATE,
  IP_VS_CTPL_S_ASSURED,
  type IpVsConn,
  type IpVsConnKey,
} from "./ip-vs-conn.ts";

/** Milliseconds after which a template is looked at again whose time is over while it has connections. */
const EXPIRE_LATER_MS = 60_000;

/** The connections of one namespace, and when they end (net/netfilter/ipvs/ip_vs_conn.c). */
export class IpVsConnTable {
  readonly #chains = new HashChains<IpVsConn>();
  readonly #clock: Pick<VirtualClock, "now" | "schedule">;
  readonly #onEnd: (conn: IpVsConn) => void;
  #lastId = 0;

  /** @param onEnd called with each connection that has ended */
  constructor(clock: Pick<VirtualClock, "now" | "schedule">, onEnd: (conn: IpVsConn) => void) {
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#chains.size;
  }

  /** The oldest first. */
  entries(): IpVsConn[] {
    return [...this.#chains].sort((x, y) => x.id - y.id);
  }

  /** The connection of a client's packet (`ip_vs_conn_in_get`). */
  findIn(
    protocol: number,
    caddr: IpAddress,
    cport: number,
    vaddr: IpAddress,
    vport: number,
  ): IpVsConn | undefined {
    let conn = this.#chains.chain(connHash(protocol, caddr, cport));
    for (; conn !== undefined; conn = conn.next) {
      if (
        conn.cport === cport &&
        conn.vport === vport &&
        conn.caddr === caddr &&
        conn.vaddr === vaddr &&
        conn.protocol === protocol &&
        !conn.isTemplate
      ) {
        return conn;
      }
    }
    return undefined;
  }

  /** The connection of a real server's packet to a client (`ip_vs_conn_out_get`). */
  findOut(
    protocol: number,
    saddr: IpAddress,
    sport: number,
    caddr: IpAddress,
    cport: number,
  ): IpVsConn | undefined {
    let conn = this.#chains.chain(connHash(protocol, caddr, cport));
    for (; conn !== undefined; conn = conn.next) {
      if (conn.cport !== cport || conn.caddr !== caddr || conn.protocol !== protocol) continue;
      const masq = conn.forwarding === "masq";
      if (sport !== (masq ? conn.dport : conn.vport)) continue;
      if (saddr === (masq ? conn.daddr : conn.vaddr)) return conn;
    }
    return undefined;
  }

  /** `ip_vs_ct_in_get` */
  findTemplate(key: IpVsConnKey): IpVsConn | undefined {
    let conn = this.#chains.chain(connHash(key.protocol, key.caddr, key.cport));
    for (; conn !== undefined; conn = conn.next) {
      if (
        conn.vport === key.vport &&
        conn.cport === key.cport &&
        conn.caddr === key.caddr &&
        conn.vaddr === key.vaddr &&
        conn.protocol === key.protocol &&
        conn.isTemplate
      ) {
        return conn;
      }
    }
    return undefined;
  }

  /** Takes a connection in; {@link put} says how long it lives. */
  add(conn: IpVsConn): void {
    const { dest, control } = conn;
    conn.id = ++this.#lastId;
    if (control !== undefined) control.controlled++;
    if (conn.isTemplate) dest.persistConns++;
    else if (++dest.totalConns === dest.upperThreshold) dest.updateOverload(1);
    if (!conn.has(IP_VS_CONN_F_ONE_PACKET)) this.#chains.add(conn);
  }

  /** A packet of the connection is done: it lives for its timeout from now, or `now`, on (`ip_vs_conn_put`). */
  put(conn: IpVsConn, now: number = this.#clock.now): void {
    if (conn.has(IP_VS_CONN_F_ONE_PACKET)) {
      this.#end(conn);
      return;
    }
    conn.expires = now + conn.timeoutMs;
    // A timer that is early looks again, so that packets need not set it anew.
    if (conn.timer !== undefined && conn.timerAt <= conn.expires) return;
    conn.timer?.cancel();
    this.#arm(conn);
  }

  /** Ends a connection before its time, and a template as soon as its connections let it (`ip_vs_conn_expire_now`). */
  expire(conn: IpVsConn): void {
    if (conn.controlled > 0) {
      conn.timeoutMs = EXPIRE_LATER_MS;
      this.put(conn);
      return;
    }
    if (this.#chains.delete(conn)) this.#end(conn);
  }

  #arm(conn: IpVsConn): void {
    conn.timerAt = conn.expires;
    const delay = Math.max(0, conn.expires - this.#clock.now);
    conn.timer = this.#clock.schedule(delay, () => this.#timer(conn), { background: true });
  }

  #timer(conn: IpVsConn): void {
    conn.timer = undefined;
    if (conn.expires > this.#clock.now) this.#arm(conn);
    else this.expire(conn);
  }

  #end(conn: IpVsConn): void {
    const { dest, control } = conn;
    conn.timer?.cancel();
    conn.timer = undefined;
    conn.condition.holds = false;
    conn.ended = true;
    this.#release(conn, control);
    this.#onEnd(conn);
    if (conn.isTemplate) {
      dest.persistConns--;
    } else {
      conn.setActive(false);
      const lower = dest.lowerThreshold || dest.upperThreshold - (dest.upperThreshold >> 2);
      if (dest.totalConns-- === lower) dest.updateOverload(-1);
    }
  }

  /** A connection that was dropped takes a template with it that nobody has had an answer by. */
  #release(conn: IpVsConn, control: IpVsConn | undefined): void {
    if (control === undefined) return;
    control.controlled--;
    if (conn.timeoutMs !== 0 || control.controlled > 0) return;
    const assured = (control.state & IP_VS_CTPL_S_ASSURED) !== 0;
    if (!control.has(IP_VS_CONN_F_TEMPLATE) || !assured) this.expire(control);
  }
}
