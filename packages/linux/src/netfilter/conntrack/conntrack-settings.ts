import type { NetNamespace } from "../../net-namespace.ts";
import type { Sysctl } from "../../sysctl.ts";

/** Sysctls of the timeouts by `enum tcp_conntrack`, in its order. */
const TCP_TIMEOUTS = [
  undefined, // NONE
  "syn_sent",
  "syn_recv",
  "established",
  "fin_wait",
  "close_wait",
  "last_ack",
  "time_wait",
  "close",
  "syn_sent", // SYN_SENT2
];

/** Sysctls of the timeouts by `enum sctp_conntrack`, in its order. */
const SCTP_TIMEOUTS = [
  undefined, // NONE
  "closed",
  "cookie_wait",
  "cookie_echoed",
  "established",
  "shutdown_sent",
  "shutdown_recd",
  "shutdown_ack_sent",
  "heartbeat_sent",
];

/** The values of `net.netfilter.nf_conntrack_*` that every packet needs, in milliseconds. */
export class ConntrackSettings {
  readonly #sysctl: Sysctl;
  readonly #initial: Sysctl;
  readonly #writes: number;
  readonly #initialWrites: number;
  /** Connections at most. One value for the whole machine (`nf_conntrack_max` is global). */
  readonly max: number;
  readonly accounting: boolean;
  readonly generic: number;
  readonly icmp: number;
  readonly icmpv6: number;
  readonly udp: number;
  readonly udpStream: number;
  /** By state. */
  readonly tcp: readonly number[];
  readonly tcpRetransmission: number;
  readonly tcpUnacknowledged: number;
  readonly tcpMaxRetransmissions: number;
  readonly tcpLoose: boolean;
  readonly tcpLiberal: boolean;
  readonly tcpIgnoreInvalidRst: boolean;
  /** By state. */
  readonly sctp: readonly number[];

  constructor(netns: NetNamespace) {
    const { sysctl } = netns;
    const initial = netns.kernel.initNs.sysctl;
    this.#sysctl = sysctl;
    this.#initial = initial;
    this.#writes = sysctl.writes;
    this.#initialWrites = initial.writes;
    const value = (name: string): number => sysctl.get(`net/netfilter/nf_conntrack_${name}`);
    const timeout = (name: string | undefined): number =>
      name === undefined ? 0 : 1000 * value(name);
    this.max = initial.get("net/netfilter/nf_conntrack_max");
    this.accounting = value("acct") !== 0;
    this.generic = timeout("generic_timeout");
    this.icmp = timeout("icmp_timeout");
    this.icmpv6 = timeout("icmpv6_timeout");
    this.udp = timeout("udp_timeout");
    this.udpStream = timeout("udp_timeout_stream");
    this.tcp = TCP_TIMEOUTS.map((name) => timeout(name && `tcp_timeout_${name}`));
    this.tcpRetransmission = timeout("tcp_timeout_max_retrans");
    this.tcpUnacknowledged = timeout("tcp_timeout_unacknowledged");
    this.tcpMaxRetransmissions = value("tcp_max_retrans");
    this.tcpLoose = value("tcp_loose") !== 0;
    this.tcpLiberal = value("tcp_be_liberal") !== 0;
    this.tcpIgnoreInvalidRst = value("tcp_ignore_invalid_rst") !== 0;
    this.sctp = SCTP_TIMEOUTS.map((name) => timeout(name && `sctp_timeout_${name}`));
  }

  /** Whether no sysctl has been written since these values were read. */
  get isCurrent(): boolean {
    return this.#writes === this.#sysctl.writes && this.#initialWrites === this.#initial.writes;
  }
}
