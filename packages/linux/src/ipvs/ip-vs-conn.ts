import type { Timer } from "@cnilab/core";
import { hashIp, type IpAddress } from "@cnilab/net";
import type { FlowCondition } from "../flow-cache.ts";
import type { Hashed } from "./hash-chains.ts";
import type { ForwardingMethod, IpVsDest } from "./ip-vs-dest.ts";

// Flags of a connection (include/uapi/linux/ip_vs.h)
/** Answers do not come by here. */
export const IP_VS_CONN_F_NOOUTPUT = 0x80;
/** Its state says that it carries no data. */
export const IP_VS_CONN_F_INACTIVE = 0x100;
/** Not a connection, but which server a client's next connections go to. */
export const IP_VS_CONN_F_TEMPLATE = 0x1000;
/** Ends with its first packet. */
export const IP_VS_CONN_F_ONE_PACKET = 0x2000;
/** Netfilter tracks its packets as well (`net.ipv4.vs.conntrack`). */
export const IP_VS_CONN_F_NFCT = 0x10000;

/** State of a template whose client has had an answer. */
export const IP_VS_CTPL_S_ASSURED = 1;

/** The ports of a template that must not be used any more. */
const INVALID_PORT = 0xffff;
/** Milliseconds to live before the first packet sets the protocol's own timeout. */
const FIRST_TIMEOUT = 3000;

/** Who talks to which virtual service: what a client's packets are known by. */
export interface IpVsConnKey {
  /** 0 for templates of services that are known by a mark, which stands in {@link vaddr} then. */
  readonly protocol: number;
  readonly caddr: IpAddress;
  readonly cport: number;
  readonly vaddr: IpAddress;
  readonly vport: number;
}

/** A connection of a client (c) with a virtual service (v), or a template for such (`struct ip_vs_conn`). */
export class IpVsConn implements Hashed<IpVsConn>, IpVsConnKey {
  readonly protocol: number;
  readonly caddr: IpAddress;
  readonly cport: number;
  readonly vaddr: IpAddress;
  vport: number;
  /** The real server (d), also after it was deleted. */
  readonly dest: IpVsDest;
  dport: number;
  readonly forwarding: ForwardingMethod;
  /** `IP_VS_CONN_F_…` bits. */
  flags: number;
  /** As the protocol numbers them; of a template `IP_VS_CTPL_S_…` bits. */
  state = 0;
  timeoutMs: number = FIRST_TIMEOUT;
  /** Virtual ms. */
  expires = 0;
  /** The template by which it was made. */
  readonly control: IpVsConn | undefined;
  /** Connections that were made by this template and are still there. */
  controlled = 0;
  readonly hash: number;
  next: IpVsConn | undefined = undefined;
  // Belong to the table:
  /** Grows from connection to connection. */
  id = 0;
  timer: Timer | undefined = undefined;
  timerAt = 0;
  /** Told to recorded walks: whether the connection is as it was. */
  condition: FlowCondition = { holds: true };
  ended = false;

  constructor(
    key: IpVsConnKey,
    dest: IpVsDest,
    dport: number,
    flags: number,
    control: IpVsConn | undefined,
  ) {
    this.protocol = key.protocol;
    this.caddr = key.caddr;
    this.cport = key.cport;
    this.vaddr = key.vaddr;
    this.vport = key.vport;
    this.dest = dest;
    this.dport = dport;
    this.forwarding = dest.forwarding;
    this.flags = flags | IP_VS_CONN_F_INACTIVE;
    if (dest.forwarding !== "masq") this.flags |= IP_VS_CONN_F_NOOUTPUT;
    this.control = control;
    this.hash = connHash(key.protocol, key.caddr, key.cport);
  }

  get daddr(): IpAddress {
    return this.dest.address;
  }

  has(flag: number): boolean {
    return (this.flags & flag) !== 0;
  }

  get isTemplate(): boolean {
    return this.has(IP_VS_CONN_F_TEMPLATE);
  }

  /** Whether the connection carries data; only told where the protocol has such states. */
  setActive(active: boolean): void {
    if (active !== this.has(IP_VS_CONN_F_INACTIVE)) return;
    this.dest.activeConns += active ? 1 : -1;
    this.flags ^= IP_VS_CONN_F_INACTIVE;
  }

  /** A template that must not be used any more, but is there as long as its connections are. */
  invalidate(): void {
    this.vport = INVALID_PORT;
    this.dport = INVALID_PORT;
    this.changed();
  }

  /** Its client has had an answer, and so its template lives on (`ip_vs_control_assure_ct`). */
  assureTemplate(): void {
    const { control } = this;
    if (control?.isTemplate) control.state |= IP_VS_CTPL_S_ASSURED;
  }

  /** Walks that relied on it must not be repeated. */
  changed(): void {
    this.condition.holds = false;
    this.condition = { holds: true };
  }
}

/** By the client alone: questions and answers find a connection in the same chain. */
export function connHash(protocol: number, caddr: IpAddress, cport: number): number {
  return Math.imul(hashIp(caddr) ^ (cport << 8) ^ protocol, 0x9e3779b1) >>> 8;
}
