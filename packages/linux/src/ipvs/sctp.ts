import { type Payload, SCTP_ABORT, SCTP_INIT, type SctpPacket } from "@cnilab/net";
import type { IpVsConn } from "./ip-vs-conn.ts";
import type { IpVsDirection, IpVsProtocol } from "./ip-vs-protocol.ts";
import { leadsTo, type NextStates, stays } from "./state-table.ts";

// States as the real server sees them (`enum ip_vs_sctp_states`)
const NONE = 0;
const INIT1 = 1;
const INIT = 2;
const COOKIE_SENT = 3;
const COOKIE_REPLIED = 4;
const COOKIE_WAIT = 5;
const COOKIE = 6;
const COOKIE_ECHOED = 7;
const ESTABLISHED = 8;
const SHUTDOWN_SENT = 9;
const SHUTDOWN_RECEIVED = 10;
const SHUTDOWN_ACK_SENT = 11;
const REJECTED = 12;
const CLOSED = 13;
const STATES = 14;

/** All states up to `upTo` lead to `next`: those first are of associations that are being made. */
function whileOpening(next: number, upTo: number): Record<number, number> {
  return Object.fromEntries(Array.from({ length: upTo + 1 }, (_, state) => [state, next]));
}

/** By direction, then by event in the order of {@link EVENTS} (net/netfilter/ipvs/ip_vs_proto_sctp.c sctp_states). */
const NEXT: readonly (readonly NextStates[])[] = [
  [
    stays(STATES, { [NONE]: ESTABLISHED }),
    stays(STATES, { [NONE]: INIT1, [INIT1]: INIT, [REJECTED]: INIT, [CLOSED]: INIT }),
    stays(STATES, {
      [NONE]: COOKIE_WAIT,
      [INIT1]: COOKIE_WAIT,
      [INIT]: COOKIE_WAIT,
      [COOKIE_WAIT]: COOKIE,
    }),
    stays(STATES, { [NONE]: COOKIE_REPLIED, [INIT1]: INIT, [COOKIE_SENT]: COOKIE_REPLIED }),
    stays(STATES, { [NONE]: ESTABLISHED, [COOKIE_ECHOED]: ESTABLISHED }),
    stays(STATES, { [NONE]: SHUTDOWN_RECEIVED, [ESTABLISHED]: SHUTDOWN_RECEIVED }),
    stays(STATES, {
      [NONE]: CLOSED,
      [INIT1]: INIT,
      [SHUTDOWN_SENT]: CLOSED,
      [SHUTDOWN_ACK_SENT]: CLOSED,
    }),
    stays(STATES, {
      [NONE]: CLOSED,
      [INIT1]: CLOSED,
      [INIT]: CLOSED,
      [SHUTDOWN_ACK_SENT]: CLOSED,
    }),
    stays(STATES, { [NONE]: CLOSED, [COOKIE_ECHOED]: CLOSED }),
    leadsTo(STATES, CLOSED, { [COOKIE_WAIT]: REJECTED }),
  ],
  [
    stays(STATES, { [NONE]: ESTABLISHED }),
    leadsTo(STATES, COOKIE_WAIT, { [ESTABLISHED]: ESTABLISHED }),
    stays(STATES, whileOpening(COOKIE_SENT, INIT)),
    stays(STATES, whileOpening(COOKIE_ECHOED, COOKIE_ECHOED)),
    stays(STATES, whileOpening(ESTABLISHED, COOKIE_ECHOED)),
    stays(STATES, whileOpening(SHUTDOWN_SENT, ESTABLISHED)),
    stays(STATES, {
      ...whileOpening(SHUTDOWN_ACK_SENT, COOKIE_REPLIED),
      [SHUTDOWN_SENT]: SHUTDOWN_ACK_SENT,
      [SHUTDOWN_RECEIVED]: SHUTDOWN_ACK_SENT,
    }),
    stays(STATES, { [NONE]: CLOSED }),
    stays(STATES, whileOpening(CLOSED, COOKIE_REPLIED)),
    leadsTo(STATES, CLOSED, { [INIT1]: REJECTED }),
  ],
  [
    stays(STATES, { [NONE]: ESTABLISHED, [COOKIE_WAIT]: ESTABLISHED }),
    stays(STATES, {
      ...whileOpening(INIT, COOKIE_WAIT),
      [NONE]: INIT1,
      [REJECTED]: INIT,
      [CLOSED]: INIT,
    }),
    stays(STATES, whileOpening(COOKIE_ECHOED, COOKIE_WAIT)),
    stays(STATES, whileOpening(ESTABLISHED, COOKIE_WAIT)),
    stays(STATES, {
      [NONE]: ESTABLISHED,
      [COOKIE_SENT]: ESTABLISHED,
      [COOKIE_REPLIED]: ESTABLISHED,
      [COOKIE]: ESTABLISHED,
      [COOKIE_ECHOED]: ESTABLISHED,
    }),
    stays(STATES, { [NONE]: SHUTDOWN_RECEIVED, [ESTABLISHED]: SHUTDOWN_RECEIVED }),
    stays(STATES, {
      [NONE]: CLOSED,
      [INIT1]: INIT,
      [ESTABLISHED]: CLOSED,
      [SHUTDOWN_SENT]: CLOSED,
      [SHUTDOWN_ACK_SENT]: CLOSED,
    }),
    stays(STATES, {
      ...whileOpening(CLOSED, COOKIE_REPLIED),
      [SHUTDOWN_RECEIVED]: CLOSED,
      [SHUTDOWN_ACK_SENT]: CLOSED,
    }),
    stays(STATES, { [NONE]: CLOSED }),
    leadsTo(STATES, CLOSED, { [COOKIE_WAIT]: REJECTED }),
  ],
];

/** The event that a chunk is, by its type (RFC 9260 section 3.2); all others carry data. */
const EVENTS: Readonly<Record<number, number>> = {
  [SCTP_INIT]: 1,
  2: 2, // INIT ACK
  10: 3, // COOKIE ECHO
  11: 4, // COOKIE ACK
  7: 5, // SHUTDOWN
  8: 6, // SHUTDOWN ACK
  14: 7, // SHUTDOWN COMPLETE
  9: 8, // ERROR
  [SCTP_ABORT]: 9,
};

/** Milliseconds that a lost chunk may take to be sent again (`IP_VS_SCTP_MAX_RTO`). */
const MAX_RTO = 61_000;

/** SCTP; only established associations count as active. */
export class IpVsSctp implements IpVsProtocol {
  readonly name = "SCTP";
  readonly timeouts: number[] = Object.assign(new Array<number>(STATES).fill(MAX_RTO), {
    [NONE]: 2000,
    [INIT1]: 4000,
    [ESTABLISHED]: 900_000,
    [REJECTED]: 4000,
  });
  readonly stateNames: readonly string[] = [
    "NONE",
    "INIT1",
    "INIT",
    "C-SENT",
    "C-REPLIED",
    "C-WAIT",
    "COOKIE",
    "C-ECHOED",
    "ESTABLISHED",
    "S-SENT",
    "S-RECEIVED",
    "S-ACK-SENT",
    "REJECTED",
    "CLOSED",
  ];
  readonly #isSloppy: () => boolean;

  /** @param isSloppy `net.ipv4.vs.sloppy_sctp`: any chunk may begin a connection */
  constructor(isSloppy: () => boolean) {
    this.#isSloppy = isSloppy;
  }

  begins(header: Payload): boolean {
    const { chunkType } = header as SctpPacket;
    return chunkType !== SCTP_ABORT && (chunkType === SCTP_INIT || this.#isSloppy());
  }

  beginsAnew(header: Payload): boolean {
    return (header as SctpPacket).chunkType === SCTP_INIT;
  }

  isOver(conn: IpVsConn): boolean {
    return conn.state === CLOSED;
  }

  nextState(conn: IpVsConn, direction: IpVsDirection, header: Payload): number {
    const event = EVENTS[(header as SctpPacket).chunkType] ?? 0;
    return NEXT[direction]?.[event]?.[conn.state] as number;
  }

  isActive(state: number): boolean {
    return state === ESTABLISHED;
  }

  assures(state: number): boolean {
    return state === ESTABLISHED;
  }
}
