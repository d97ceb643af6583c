// common/chains/chains.go
export const MAIN_CHAIN = "WEAVE-NPC";
export const DEFAULT_CHAIN = "WEAVE-NPC-DEFAULT";
export const INGRESS_CHAIN = "WEAVE-NPC-INGRESS";
export const EGRESS_CHAIN = "WEAVE-NPC-EGRESS";
export const EGRESS_DEFAULT_CHAIN = "WEAVE-NPC-EGRESS-DEFAULT";
export const EGRESS_CUSTOM_CHAIN = "WEAVE-NPC-EGRESS-CUSTOM";
export const EGRESS_ACCEPT_CHAIN = "WEAVE-NPC-EGRESS-ACCEPT";

/** What a pod may send carries it; 0x20000 is that of encryption. */
export const EGRESS_MARK = "0x40000/0x40000";
/** Packets that are dropped are told to user space by this group of NFLOG. */
export const LOG_GROUP = "86";
