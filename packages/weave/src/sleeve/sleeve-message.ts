import type { GossipPayload } from "../mesh/gossiper.ts";

// What the ends of a connection tell each other over TCP (mesh/protocol.go ProtocolReserved1 to 3, which sleeve has in use).

export const CONNECTION_ESTABLISHED = 1;
export const FRAGMENTATION_RECEIVED = 2;
export const PMTU_VERIFIED = 3;

/** Nothing but its tag. */
export const EMPTY_MESSAGE: GossipPayload = { wireLength: 0 };

/** A packet of this size came through. */
export class PmtuVerified implements GossipPayload {
  readonly wireLength = 2;
  readonly mtu: number;

  constructor(mtu: number) {
    this.mtu = mtu;
  }
}
