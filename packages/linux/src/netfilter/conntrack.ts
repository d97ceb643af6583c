import type { Skb } from "../skb.ts";
import type { NfVerdict } from "./hooks.ts";

/** Connection tracking of one namespace. */
export interface Conntrack {
  /** Puts a new connection into the table, or finds that another packet was first (`nf_confirm`). */
  confirm(skb: Skb): NfVerdict;
}
