/** What `ipvsadm -Ln --stats` shows of a virtual service, a real server or all together (`struct ip_vs_stats`). */
export class IpVsStats {
  /** Connections that were scheduled. */
  conns = 0;
  /** Packets and bytes, from the IP header on, of clients. */
  inPackets = 0;
  inBytes = 0;
  /** Of answers. */
  outPackets = 0;
  outBytes = 0;

  /** `ipvsadm -Z` */
  zero(): void {
    this.conns = 0;
    this.inPackets = 0;
    this.inBytes = 0;
    this.outPackets = 0;
    this.outBytes = 0;
  }
}
