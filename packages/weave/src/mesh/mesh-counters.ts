import type { WireMessage } from "@cnilab/linux";
import { ProtocolMessage } from "./protocol.ts";

export interface Count {
  readonly messages: number;
  /** Of messages, without TCP and IP. */
  readonly bytes: number;
}

/** What a peer has sent over its connections, by kind: `handshake`, `heartbeat`, `overlay`, `gossip topology`, `unicast IPallocation` … */
export class MeshCounters {
  readonly #byKind = new Map<string, Count>();

  count(message: WireMessage): void {
    const kind = kindOf(message);
    const { messages, bytes } = this.#byKind.get(kind) ?? { messages: 0, bytes: 0 };
    this.#byKind.set(kind, { messages: messages + 1, bytes: bytes + message.wireLength });
  }

  get byKind(): ReadonlyMap<string, Count> {
    return this.#byKind;
  }

  get total(): Count {
    let total = { messages: 0, bytes: 0 };
    for (const { messages, bytes } of this.#byKind.values()) {
      total = { messages: total.messages + messages, bytes: total.bytes + bytes };
    }
    return total;
  }
}

function kindOf(message: WireMessage): string {
  if (!(message instanceof ProtocolMessage)) return "handshake";
  const { content } = message;
  return "channel" in content ? `${content.kind} ${content.channel}` : content.kind;
}
