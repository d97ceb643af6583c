import type { Ipv4Address } from "@cnilab/net";
import type { GossipPayload } from "../mesh/gossiper.ts";
import type { PeerName } from "../mesh/peer-name.ts";

/** A connection whose packets between these addresses, to this port, are to be encrypted. */
export interface IpsecConnection {
  readonly localPeer: PeerName;
  readonly remotePeer: PeerName;
  readonly connectionUid: bigint;
  readonly localAddress: Ipv4Address;
  readonly remoteAddress: Ipv4Address;
  /** Of the tunnel, UDP. */
  readonly remotePort: number;
}

/** The kernel's encryption of what leaves the datapath (net/ipsec/ipsec.go). Each throws an Error where the kernel refuses. */
export interface Ipsec {
  /** Takes what the other end encrypts. @returns what that is to be told */
  initSaLocal(connection: IpsecConnection): GossipPayload;
  /** Encrypts for the other end, as it has told. */
  initSaRemote(connection: IpsecConnection, message: GossipPayload): void;
  destroy(connection: IpsecConnection): void;
  /** Undoes what is there of an earlier process; with `destroy` rules and chains, too. */
  flush(destroy: boolean): void;
}
