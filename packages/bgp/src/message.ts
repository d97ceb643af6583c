import type { WireMessage } from "@cnilab/linux";
import type { IpFamily, Prefix } from "@cnilab/net";
import { attributesLength, type PathAttributes } from "./path-attributes.ts";

const HEADER = 19;
/** RFC 4271 §4. */
const MAX_MESSAGE = 4096;

/** Graceful restart, as a speaker tells of it (RFC 4724 §3). */
export interface GracefulRestartCapability {
  /** It has just restarted. */
  readonly restarting: boolean;
  /** Seconds that others are asked to wait for it. */
  readonly time: number;
  /** Its kernel forwarded packets all the while. */
  readonly forwarding: boolean;
}

export interface Open {
  readonly type: "OPEN";
  readonly as: number;
  /** Seconds; 0 for ever. */
  readonly holdTime: number;
  readonly routerId: number;
  readonly family: IpFamily;
  /** It sends and takes several paths to a prefix (RFC 7911). */
  readonly addPath: boolean;
  readonly gracefulRestart: GracefulRestartCapability | undefined;
}

/** A prefix, and which path to it where there may be several (0 where not). */
export interface Nlri {
  readonly prefix: Prefix;
  readonly pathId: number;
}

export interface Update {
  readonly type: "UPDATE";
  readonly withdrawn: readonly Nlri[];
  readonly announced: readonly Nlri[];
  readonly attributes: PathAttributes | undefined;
}

/** Nothing more to come of what there was at the beginning (RFC 4724 §2): an UPDATE with nothing in it. */
export const END_OF_RIB: Update = {
  type: "UPDATE",
  withdrawn: [],
  announced: [],
  attributes: undefined,
};

export interface Notification {
  readonly type: "NOTIFICATION";
  readonly code: number;
  readonly subcode: number;
}

export interface Keepalive {
  readonly type: "KEEPALIVE";
}

export const KEEPALIVE: Keepalive = { type: "KEEPALIVE" };

/** Asks for everything again (RFC 2918). */
export interface RouteRefresh {
  readonly type: "ROUTE-REFRESH";
}

export type BgpMessage = Open | Update | Notification | Keepalive | RouteRefresh;

/** Messages that leave in one write to the socket, as a speaker empties its buffer. */
export class BgpMessages implements WireMessage {
  readonly list: readonly BgpMessage[];
  readonly wireLength: number;

  constructor(list: readonly BgpMessage[]) {
    this.list = list;
    this.wireLength = list.reduce((sum, message) => sum + messageLength(message), 0);
  }

  toString(): string {
    const counts = new Map<string, number>();
    for (const { type } of this.list) counts.set(type, (counts.get(type) ?? 0) + 1);
    const each = [...counts].map(([type, count]) => (count > 1 ? `${count} × ${type}` : type));
    return `BGP ${each.join(", ")}`;
  }
}

function messageLength(message: BgpMessage): number {
  switch (message.type) {
    case "OPEN":
      // Multiprotocol 6, route refresh 2, AS4 6, add-path 6, graceful restart 8; each in one parameter.
      return HEADER + 10 + 2 + 14 + (message.addPath ? 6 : 0) + (message.gracefulRestart ? 8 : 0);
    case "NOTIFICATION":
      return HEADER + 2;
    case "ROUTE-REFRESH":
      return HEADER + 4;
    case "KEEPALIVE":
      return HEADER;
    case "UPDATE":
      return HEADER + updateLength(message);
  }
}

function updateLength({ withdrawn, announced, attributes }: Update): number {
  const nlri = [...withdrawn, ...announced].reduce((sum, n) => sum + nlriLength(n), 0);
  return 4 + nlri + (attributes === undefined ? 0 : attributesLength(attributes));
}

function nlriLength({ prefix, pathId }: Nlri): number {
  return 1 + Math.ceil(prefix.length / 8) + (pathId === 0 ? 0 : 4);
}

/** UPDATEs that say this: prefixes of equal attributes together, none longer than a message may be. */
export function packUpdates(
  withdrawn: readonly Nlri[],
  announced: Iterable<{ readonly nlri: Nlri; readonly attributes: PathAttributes }>,
): Update[] {
  const updates: Update[] = [];
  for (const part of chunks(withdrawn, MAX_MESSAGE - HEADER - 4 - 8)) {
    updates.push({ type: "UPDATE", withdrawn: part, announced: [], attributes: undefined });
  }
  const byAttributes = new Map<PathAttributes, Nlri[]>();
  for (const { nlri, attributes } of announced) {
    const known = byAttributes.get(attributes);
    if (known === undefined) byAttributes.set(attributes, [nlri]);
    else known.push(nlri);
  }
  for (const [attributes, all] of byAttributes) {
    for (const part of chunks(all, MAX_MESSAGE - HEADER - 4 - attributesLength(attributes))) {
      updates.push({ type: "UPDATE", withdrawn: [], announced: part, attributes });
    }
  }
  return updates;
}

function* chunks(all: readonly Nlri[], bytes: number): Iterable<readonly Nlri[]> {
  let part: Nlri[] = [];
  let room = bytes;
  for (const nlri of all) {
    const length = nlriLength(nlri);
    if (length > room && part.length > 0) {
      yield part;
      part = [];
      room = bytes;
    }
    part.push(nlri);
    room -= length;
  }
  if (part.length > 0) yield part;
}
