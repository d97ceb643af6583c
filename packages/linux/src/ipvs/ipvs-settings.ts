import type { Sysctl } from "../sysctl.ts";

/** The values of `net.ipv4.vs.*` that packets need. */
export class IpvsSettings {
  readonly #sysctl: Sysctl;
  readonly #writes: number;
  /** Netfilter tracks the connections as well. */
  readonly conntrack: boolean;
  /** What a client's port that is used again means: 1 another server, 2 also while a connection ends. */
  readonly connReuseMode: number;
  /** Connections to a server that was deleted end; else their packets are dropped until they time out. */
  readonly expireNodestConn: boolean;
  /** Templates for servers of weight 0 are not used. */
  readonly expireQuiescentTemplate: boolean;
  /** Answers are routed again once they have the virtual address as their source. */
  readonly snatReroute: boolean;
  readonly sloppyTcp: boolean;
  readonly sloppySctp: boolean;
  /** Connections are somebody else's business: nothing is scheduled here. */
  readonly backupOnly: boolean;

  constructor(sysctl: Sysctl) {
    this.#sysctl = sysctl;
    this.#writes = sysctl.writes;
    const value = (name: string): number => sysctl.get(`net/ipv4/vs/${name}`);
    this.conntrack = value("conntrack") !== 0;
    this.connReuseMode = value("conn_reuse_mode");
    this.expireNodestConn = value("expire_nodest_conn") !== 0;
    this.expireQuiescentTemplate = value("expire_quiescent_template") !== 0;
    this.snatReroute = value("snat_reroute") !== 0;
    this.sloppyTcp = value("sloppy_tcp") !== 0;
    this.sloppySctp = value("sloppy_sctp") !== 0;
    this.backupOnly = value("backup_only") !== 0;
  }

  /** Whether no sysctl has been written since these values were read. */
  get isCurrent(): boolean {
    return this.#writes === this.#sysctl.writes;
  }
}
