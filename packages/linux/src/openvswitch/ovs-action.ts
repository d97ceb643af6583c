import type { TunnelKey } from "../bpf/skb-bpf.ts";

/** What is done with a packet (`enum ovs_action_attr`). */
export type OvsAction =
  | { readonly type: "output"; readonly port: number }
  /** For the tunnel ports that it leaves by after this (`OVS_KEY_ATTR_TUNNEL`). */
  | { readonly type: "set-tunnel"; readonly tunnel: TunnelKey }
  /** A copy goes to the program (`OVS_PACKET_CMD_ACTION`). */
  | { readonly type: "userspace" };
