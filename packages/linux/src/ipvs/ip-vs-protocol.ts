import type { Payload } from "@cnilab/net";
import { IP_VS_CONN_F_NOOUTPUT, type IpVsConn } from "./ip-vs-conn.ts";

/** Which way a packet goes: to the server, back from it, or to a server whose answers are not seen here. */
export type IpVsDirection = 0 | 1 | 2;
export const IP_VS_DIR_INPUT = 0;
export const IP_VS_DIR_OUTPUT = 1;
export const IP_VS_DIR_INPUT_ONLY = 2;

/** What IPVS knows of a transport protocol (`struct ip_vs_protocol`, with one namespace's `ip_vs_proto_data`). */
export interface IpVsProtocol {
  readonly name: "TCP" | "UDP" | "SCTP";
  /** Milliseconds that a connection lives in each state without a packet. */
  readonly timeouts: number[];
  readonly stateNames: readonly string[];
  /** Whether a packet that belongs to no connection may begin one. */
  begins(header: Payload): boolean;
  /** Whether a packet begins a connection anew where there is one already (`is_new_conn`). */
  beginsAnew(header: Payload): boolean;
  /** Whether a connection is over, so that such a packet may go to another server (`is_new_conn_expected`). */
  isOver(conn: IpVsConn, reuseMode: number): boolean;
  /** The connection's next state; -1 where the packet says nothing about it. */
  nextState(conn: IpVsConn, direction: IpVsDirection, header: Payload): number;
  isActive(state: number): boolean;
  /** Whether a packet of this direction in this state tells that a server has answered. */
  assures(state: number, direction: IpVsDirection): boolean;
}

/** Lets a packet change the state and lifetime of its connection (`ip_vs_set_state`). */
export function setState(
  protocol: IpVsProtocol,
  conn: IpVsConn,
  direction: typeof IP_VS_DIR_INPUT | typeof IP_VS_DIR_OUTPUT,
  header: Payload,
): void {
  const next = protocol.nextState(conn, seenDirection(conn, direction), header);
  if (next < 0) return;
  const isOther = next !== conn.state;
  if (isOther) {
    conn.setActive(protocol.isActive(next));
    conn.state = next;
    conn.changed();
  }
  if ((isOther || protocol.name === "UDP") && protocol.assures(next, direction)) {
    conn.assureTemplate();
  }
  conn.timeoutMs = protocol.timeouts[next] as number;
}

/** The first answer shows that answers come by here after all. */
function seenDirection(
  conn: IpVsConn,
  direction: typeof IP_VS_DIR_INPUT | typeof IP_VS_DIR_OUTPUT,
): IpVsDirection {
  if (!conn.has(IP_VS_CONN_F_NOOUTPUT)) return direction;
  if (direction === IP_VS_DIR_INPUT) return IP_VS_DIR_INPUT_ONLY;
  conn.flags &= ~IP_VS_CONN_F_NOOUTPUT;
  return direction;
}
