import type { WireMessage } from "@cnilab/linux";
import type { GossipPayload } from "./gossiper.ts";
import type { PeerName } from "./peer-name.ts";
import { WIRE_NAME, wireText } from "./wire-length.ts";

/** All control of a mesh is on this TCP port. */
export const MESH_PORT = 6783;
/** Versions of the protocol that it speaks (mesh/protocol.go). */
export const PROTOCOL_VERSIONS: readonly [least: number, most: number] = [1, 2];

/** In front of each message from the features on. */
const LENGTH_PREFIX = 4;
const TAG = 1;
/** The tag of NaCl's secretbox; the nonce is not sent. */
const SECRETBOX_OVERHEAD = 16;

/** The first that both ends say. */
export class ProtocolHeader implements WireMessage {
  readonly wireLength = 7;
  readonly versions: readonly [least: number, most: number];

  constructor(versions: readonly [least: number, most: number]) {
    this.versions = versions;
  }

  toString(): string {
    return "weave header";
  }
}

/** Whether the rest is encrypted, with the public key that it takes. */
export class EncryptionFlag implements WireMessage {
  readonly encrypted: boolean;

  constructor(encrypted: boolean) {
    this.encrypted = encrypted;
  }

  get wireLength(): number {
    return this.encrypted ? 33 : 1;
  }

  toString(): string {
    return `weave encryption ${this.encrypted ? "on" : "off"}`;
  }
}

/** Who is at this end; the other end of version 2 reads it encrypted already. */
export class Features implements WireMessage {
  readonly values: ReadonlyMap<string, string>;
  /** Who has another one cannot read it. */
  readonly password: string | undefined;

  constructor(values: ReadonlyMap<string, string>, password: string | undefined) {
    this.values = values;
    this.password = password;
  }

  get wireLength(): number {
    let length = framed(this.password !== undefined);
    for (const [key, value] of this.values) length += wireText(key) + wireText(value);
    return length;
  }

  toString(): string {
    return "weave features";
  }
}

/** What a connection says once it is ready. */
export type ProtocolContent =
  | { readonly kind: "heartbeat" }
  | { readonly kind: "overlay"; readonly tag: number; readonly message: GossipPayload }
  /** The source of gossip is the neighbour that says it, that of a broadcast whoever began it. */
  | {
      readonly kind: "gossip" | "broadcast";
      readonly channel: string;
      readonly source: PeerName;
      readonly payload: GossipPayload;
    }
  | {
      readonly kind: "unicast";
      readonly channel: string;
      readonly source: PeerName;
      readonly destination: PeerName;
      readonly payload: GossipPayload;
    };

export class ProtocolMessage implements WireMessage {
  readonly content: ProtocolContent;
  readonly wireLength: number;

  constructor(content: ProtocolContent, encrypted: boolean) {
    this.content = content;
    this.wireLength = framed(encrypted) + TAG + contentLength(content);
  }

  toString(): string {
    const { content } = this;
    return `weave ${content.kind}${"channel" in content ? ` ${content.channel}` : ""}`;
  }
}

function framed(encrypted: boolean): number {
  return LENGTH_PREFIX + (encrypted ? SECRETBOX_OVERHEAD : 0);
}

function contentLength(content: ProtocolContent): number {
  switch (content.kind) {
    case "heartbeat":
      return 0;
    case "overlay":
      return content.message.wireLength;
    case "unicast":
      return wireText(content.channel) + 2 * WIRE_NAME + content.payload.wireLength;
    default:
      return wireText(content.channel) + WIRE_NAME + content.payload.wireLength;
  }
}
