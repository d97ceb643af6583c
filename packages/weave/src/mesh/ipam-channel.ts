import type { Allocator } from "../ipam/allocator.ts";
import type { IpamGossip, IpamMessage, IpamState } from "../ipam/ipam-message.ts";
import type { NodeClaims } from "../ipam/paxos.ts";
import type { GossipChannel } from "./gossip-channel.ts";
import type { GossipData, Gossiper, GossipPayload } from "./gossiper.ts";
import type { MeshRouter } from "./mesh-router.ts";
import type { PeerName } from "./peer-name.ts";
import { WIRE_NAME, WIRE_NUMBER, wireText } from "./wire-length.ts";

/** The channel's name in all peers (prog/weaver/main.go). */
const CHANNEL = "IPallocation";

/** Carries what allocators say over the mesh. */
export class IpamChannel implements Gossiper, IpamGossip {
  readonly #channel: GossipChannel;
  #allocator: Allocator | undefined;

  constructor(router: MeshRouter) {
    this.#channel = router.newGossip(CHANNEL, this);
    router.listen({ peerRemoved: ({ name }) => this.#allocator?.peerGone(name) });
  }

  /** Whom it speaks for, from now on: an allocator wants the channel first. */
  attach(allocator: Allocator): void {
    this.#allocator = allocator;
  }

  broadcast(state: () => IpamState): void {
    this.#channel.broadcast(new IpamData(state));
  }

  unicast(peer: PeerName, message: IpamMessage): boolean {
    return this.#channel.unicast(peer, new IpamPayload(message));
  }

  onUnicast(source: PeerName, payload: GossipPayload): void {
    this.#allocator?.onUnicast(source, messageOf(payload));
  }

  onBroadcast(source: PeerName, payload: GossipPayload): GossipData | undefined {
    const state = stateOf(payload);
    const allocator = this.#allocator;
    if (allocator === undefined) return new IpamData(() => state);
    allocator.onGossip(state, source);
    // Others are told what we know now, not what we heard.
    return this.gossip();
  }

  gossip(): GossipData | undefined {
    const allocator = this.#allocator;
    return allocator && new IpamData(() => allocator.state());
  }

  /** What neighbours tell at regular times goes no further. */
  onGossip(payload: GossipPayload): undefined {
    this.#allocator?.onGossip(stateOf(payload));
  }
}

/** Always the latest. */
class IpamData implements GossipData {
  readonly #state: () => IpamState;

  constructor(state: () => IpamState) {
    this.#state = state;
  }

  encode(): IpamPayload {
    return new IpamPayload({ kind: "ringUpdate", state: this.#state() });
  }

  merge(): this {
    return this;
  }
}

class IpamPayload implements GossipPayload {
  readonly message: IpamMessage;
  readonly wireLength: number;

  constructor(message: IpamMessage) {
    this.message = message;
    this.wireLength =
      1 + (message.kind === "ringUpdate" ? stateLength(message.state) : 2 * WIRE_NUMBER);
  }
}

function messageOf(payload: GossipPayload): IpamMessage {
  if (payload instanceof IpamPayload) return payload.message;
  throw new Error("what came as IPAM gossip is none");
}

function stateOf(payload: GossipPayload): IpamState {
  const message = messageOf(payload);
  if (message.kind === "ringUpdate") return message.state;
  throw new Error("what came as IPAM gossip is none");
}

/** As gob has it, each field given. */
function stateLength({ nicknames, paxos, ring }: IpamState): number {
  let length = 0;
  for (const nickname of nicknames.values()) length += WIRE_NAME + wireText(nickname);
  for (const claims of paxos?.values() ?? []) length += claimsLength(claims);
  if (ring !== undefined) {
    length += 2 * WIRE_NUMBER + ring.seeds.length * WIRE_NAME;
    // Token, peer, version, free count.
    length += ring.entries.length * (3 * WIRE_NUMBER + WIRE_NAME);
  }
  return length;
}

function claimsLength({ acceptedValue }: NodeClaims): number {
  const participant = 2 * WIRE_NAME;
  const proposal = WIRE_NUMBER + participant;
  const value = acceptedValue === undefined ? 0 : proposal + acceptedValue.value.length * WIRE_NAME;
  return participant + 2 * proposal + value;
}
