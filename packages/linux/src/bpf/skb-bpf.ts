import type { GeneveOption, IpAddress } from "@cnilab/net";

/** What a collect-metadata tunnel is told of a packet that it is to send, and tells of one it got (`struct bpf_tunnel_key`). */
export interface TunnelKey {
  /** VNI. */
  readonly tunnelId: number;
  /** The other end: where it goes, or where it came from. */
  readonly remote: IpAddress;
  /** This end; chosen by the route where it is absent. */
  readonly local?: IpAddress | undefined;
  /** Of the outer header; 0 for the machine's own. */
  readonly ttl?: number;
  readonly tos?: number;
  readonly dontFragment?: boolean;
  /** Without a UDP checksum over IPv4 (`BPF_F_ZERO_CSUM_TX`). */
  readonly zeroChecksum?: boolean;
  /** Of Geneve alone (`bpf_skb_set_tunnel_opt`). */
  readonly options?: readonly GeneveOption[] | undefined;
}

/** What programs keep with a packet, and tunnels tell them: part of `skb->cb`, and the metadata that stands for a route. */
export class SkbBpf {
  /** `__sk_buff.cb`: five words, which the next protocol overwrites. */
  readonly cb: [number, number, number, number, number] = [0, 0, 0, 0, 0];
  tcClassId = 0;
  /** `skb->tc_index`: bits that a program leaves for the ones that see the packet after it. */
  tcIndex = 0;
  /** What XDP has left before the packet for tc (`data_meta`). */
  xdpMeta = 0;
  /** Set by a program for the tunnel that it redirects to. */
  tunnelTx: TunnelKey | undefined = undefined;
  /** Set by the tunnel that it came out of. */
  tunnelRx: TunnelKey | undefined = undefined;

  clone(): SkbBpf {
    const copy = new SkbBpf();
    for (let i = 0; i < 5; i++) copy.cb[i] = this.cb[i] as number;
    copy.tcClassId = this.tcClassId;
    copy.tcIndex = this.tcIndex;
    copy.xdpMeta = this.xdpMeta;
    copy.tunnelTx = this.tunnelTx;
    copy.tunnelRx = this.tunnelRx;
    return copy;
  }
}
