/**
 * 48 bits, written as a MAC address in lower case, so that the order of texts is that of numbers (mesh/peer_name_mac.go). It comes from
 * the machine's id; `--name` fixes it.
 */
export type PeerName = string;

/** What a peer is called by people: its host name. */
export type NickName = string;

/** Different at each start of a peer, so that others see it began anew. */
export type PeerUid = number;
