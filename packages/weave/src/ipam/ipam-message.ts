import type { NickName, PeerName } from "../mesh/peer-name.ts";
import type { AddressRange } from "./address-range.ts";
import type { PaxosState } from "./paxos.ts";
import type { RingState } from "./ring.ts";

/** What peers tell each other of IPAM: the ring, or, until there is one, what they know of the consensus. An observer has neither. */
export interface IpamState {
  readonly nicknames: ReadonlyMap<PeerName, NickName>;
  readonly paxos?: PaxosState;
  readonly ring?: RingState;
}

/** To one peer (ipam/allocator.go). */
export type IpamMessage =
  | { readonly kind: "spaceRequest"; readonly range: AddressRange }
  | { readonly kind: "spaceRequestDenied"; readonly range: AddressRange }
  | { readonly kind: "ringUpdate"; readonly state: IpamState };

/** The mesh, as IPAM uses it. */
export interface IpamGossip {
  /** To all. The state is taken when a message leaves, not now, so that the latest goes out. */
  broadcast(state: () => IpamState): void;
  /** @returns whether there is a way to that peer */
  unicast(peer: PeerName, message: IpamMessage): boolean;
}
