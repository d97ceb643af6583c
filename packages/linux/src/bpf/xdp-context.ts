import { PacketContext } from "./packet-context.ts";
import { SkbBpf } from "./skb-bpf.ts";
import { XDP_DROP, XDP_REDIRECT } from "./verdict.ts";

/** What an XDP program is given: `struct xdp_md`. There is no mark yet, and no connection. */
export class XdpContext extends PacketContext {
  /** The device that `bpf_redirect` named. */
  targetIfindex = 0;

  /** What it leaves before the packet for programs of tc (`bpf_xdp_adjust_meta`). */
  set meta(value: number) {
    this.skb.bpf ??= new SkbBpf();
    this.skb.bpf.xdpMeta = value;
  }

  redirect(ifindex: number): number {
    this.targetIfindex = ifindex;
    return XDP_REDIRECT;
  }

  override shot(detail: string): number {
    this.dropDetail = detail;
    return XDP_DROP;
  }
}
