import { type Payload, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, type TcpSegment } from "@cnilab/net";
import { IP_VS_CONN_F_NOOUTPUT, type IpVsConn } from "./ip-vs-conn.ts";
import type { IpVsDirection, IpVsProtocol } from "./ip-vs-protocol.ts";
import { leadsTo, type NextStates, stays } from "./state-table.ts";

// States of a connection as the real server sees it (`enum ip_vs_tcp_states`)
const NONE = 0;
const ESTABLISHED = 1;
const SYN_SENT = 2;
const SYN_RECV = 3;
const FIN_WAIT = 4;
const TIME_WAIT = 5;
const CLOSE = 6;
const CLOSE_WAIT = 7;
const LAST_ACK = 8;
const LISTEN = 9;
const SYNACK = 10;
const STATES = 11;

/** Indexes of `timeouts` that `ipvsadm --set` changes. */
export const IP_VS_TCP_S_ESTABLISHED: number = ESTABLISHED;
export const IP_VS_TCP_S_FIN_WAIT: number = FIN_WAIT;

/** By direction, then by event: syn, fin, ack, rst (net/netfilter/ipvs/ip_vs_proto_tcp.c tcp_states). */
const NEXT: readonly (readonly NextStates[])[] = [
  [
    leadsTo(STATES, SYN_RECV, { [ESTABLISHED]: ESTABLISHED, [SYN_SENT]: ESTABLISHED }),
    stays(STATES, {
      [NONE]: CLOSE,
      [ESTABLISHED]: CLOSE_WAIT,
      [SYN_RECV]: TIME_WAIT,
      [FIN_WAIT]: TIME_WAIT,
      [SYNACK]: TIME_WAIT,
    }),
    stays(STATES, {
      [NONE]: ESTABLISHED,
      [SYN_RECV]: ESTABLISHED,
      [LAST_ACK]: CLOSE,
      [SYNACK]: ESTABLISHED,
    }),
    leadsTo(STATES, CLOSE, {
      [SYN_RECV]: SYN_RECV,
      [LAST_ACK]: LAST_ACK,
      [LISTEN]: LISTEN,
      [SYNACK]: SYN_RECV,
    }),
  ],
  [
    leadsTo(STATES, SYN_SENT, {
      [ESTABLISHED]: ESTABLISHED,
      [SYN_RECV]: SYN_RECV,
      [LISTEN]: LISTEN,
      [SYNACK]: SYN_RECV,
    }),
    stays(STATES, {
      [NONE]: TIME_WAIT,
      [ESTABLISHED]: FIN_WAIT,
      [SYN_RECV]: TIME_WAIT,
      [CLOSE_WAIT]: TIME_WAIT,
      [SYNACK]: TIME_WAIT,
    }),
    stays(STATES, {
      [NONE]: ESTABLISHED,
      [SYN_RECV]: ESTABLISHED,
      [LISTEN]: ESTABLISHED,
      [SYNACK]: ESTABLISHED,
    }),
    leadsTo(STATES, CLOSE, { [SYN_SENT]: SYN_SENT, [TIME_WAIT]: TIME_WAIT }),
  ],
  [
    leadsTo(STATES, SYN_RECV, { [ESTABLISHED]: ESTABLISHED, [SYN_SENT]: ESTABLISHED }),
    stays(STATES, {
      [NONE]: CLOSE,
      [ESTABLISHED]: FIN_WAIT,
      [SYN_RECV]: TIME_WAIT,
      [SYNACK]: TIME_WAIT,
    }),
    stays(STATES, {
      [NONE]: ESTABLISHED,
      [SYN_RECV]: ESTABLISHED,
      [LAST_ACK]: CLOSE,
      [SYNACK]: ESTABLISHED,
    }),
    leadsTo(STATES, CLOSE, { [SYN_RECV]: SYN_RECV, [LAST_ACK]: LAST_ACK, [LISTEN]: LISTEN }),
  ],
];

/** TCP without the defences of `secure_tcp`. */
export class IpVsTcp implements IpVsProtocol {
  readonly name = "TCP";
  /** In milliseconds, in the order of the states (`tcp_timeouts`). */
  readonly timeouts: number[] = [
    2000, 900_000, 120_000, 60_000, 120_000, 120_000, 10_000, 60_000, 30_000, 120_000, 120_000,
  ];
  readonly stateNames: readonly string[] = [
    "NONE",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "SYNACK",
  ];
  readonly #isSloppy: () => boolean;

  /** @param isSloppy `net.ipv4.vs.sloppy_tcp`: any segment may begin a connection */
  constructor(isSloppy: () => boolean) {
    this.#isSloppy = isSloppy;
  }

  begins(header: Payload): boolean {
    const { flags } = header as TcpSegment;
    return (flags & TCP_RST) === 0 && ((flags & TCP_SYN) !== 0 || this.#isSloppy());
  }

  beginsAnew(header: Payload): boolean {
    return ((header as TcpSegment).flags & TCP_SYN) !== 0;
  }

  isOver(conn: IpVsConn, reuseMode: number): boolean {
    if (conn.state === TIME_WAIT || conn.state === CLOSE) return true;
    return (reuseMode & 2) !== 0 && conn.state === FIN_WAIT && conn.has(IP_VS_CONN_F_NOOUTPUT);
  }

  nextState(conn: IpVsConn, direction: IpVsDirection, header: Payload): number {
    const event = eventOf((header as TcpSegment).flags);
    return event < 0 ? CLOSE : (NEXT[direction]?.[event]?.[conn.state] as number);
  }

  isActive(state: number): boolean {
    return state === ESTABLISHED || state === SYN_SENT || state === SYN_RECV || state === SYNACK;
  }

  assures(state: number): boolean {
    return state === ESTABLISHED;
  }
}

/** Row of the table; -1 for a segment with none of the flags (`tcp_state_idx`). */
function eventOf(flags: number): number {
  if ((flags & TCP_RST) !== 0) return 3;
  if ((flags & TCP_SYN) !== 0) return 0;
  if ((flags & TCP_FIN) !== 0) return 1;
  return (flags & TCP_ACK) !== 0 ? 2 : -1;
}
