import { connectToSelf, nameCollision } from "./connection-error.ts";
import type { PeerDescription } from "./peer.ts";
import { EncryptionFlag, Features, PROTOCOL_VERSIONS, ProtocolHeader } from "./protocol.ts";
import { SHORT_IDS } from "./short-ids.ts";

/** Peers are named by MAC addresses, all of one mesh. */
const PEER_NAME_FLAVOUR = "mac";

/** What the other end says of itself when a connection begins. */
export interface RemoteFeatures {
  readonly peer: PeerDescription;
  readonly connectionId: bigint;
  /** Whether this end is in a subnet that it trusts. */
  readonly trustsUs: boolean;
  readonly all: ReadonlyMap<string, string>;
}

/** @throws Error where the versions of both have none in common */
export function checkHeader(message: unknown): void {
  if (!(message instanceof ProtocolHeader))
    throw new Error("remote protocol header not recognised");
  const [ours, theirs] = [PROTOCOL_VERSIONS, message.versions];
  if (Math.max(ours[0], theirs[0]) > Math.min(ours[1], theirs[1])) {
    throw new Error(
      `remote version range [${theirs.join(",")}] is incompatible with ours [${ours.join(",")}]`,
    );
  }
}

/** @throws Error where one end has a password and the other has none */
export function checkEncryption(message: unknown, password: string | undefined): void {
  if (!(message instanceof EncryptionFlag)) throw new Error("Bad encryption flag");
  const isWanted = password !== undefined;
  if (message.encrypted === isWanted) return;
  throw new Error(
    isWanted
      ? "password specified, but peer requested an unencrypted connection"
      : "no password specificed, but peer requested an encrypted connection",
  );
}

export function featuresOf(
  peer: PeerDescription,
  connectionId: bigint,
  trusted: boolean,
): Map<string, string> {
  return new Map([
    ["PeerNameFlavour", PEER_NAME_FLAVOUR],
    ["Name", peer.name],
    ["NickName", peer.nickname],
    ["ShortID", String(peer.shortId)],
    ["UID", String(peer.uid)],
    ["ConnID", String(connectionId)],
    ["Trusted", String(trusted)],
  ]);
}

/** @throws Error where something is missing or no number, or the password is another one */
export function readFeatures(message: unknown, password: string | undefined): RemoteFeatures {
  if (!(message instanceof Features) || message.password !== password) {
    throw new Error("Unable to decrypt TCP msg");
  }
  const { values: all } = message;
  const field = (key: string) => {
    const value = all.get(key);
    if (value === undefined) throw new Error(`field ${key} is missing`);
    return value;
  };
  const flavour = field("PeerNameFlavour");
  if (flavour !== PEER_NAME_FLAVOUR) {
    throw new Error(
      `Peer name flavour mismatch (ours: '${PEER_NAME_FLAVOUR}', theirs: '${flavour}')`,
    );
  }
  const shortId = all.get("ShortID");
  return {
    peer: {
      name: field("Name"),
      nickname: field("NickName"),
      uid: Number(digits(field("UID"))),
      version: 0,
      ...(shortId !== undefined && { shortId: Number(digits(shortId)) % SHORT_IDS }),
      connections: new Map(),
    },
    connectionId: BigInt(digits(field("ConnID"))),
    trustsUs: all.get("Trusted") === "true",
    all,
  };
}

function digits(text: string): string {
  if (!/^\d{1,20}$/.test(text)) throw new Error(`parsing "${text}": invalid syntax`);
  return text;
}

/** @throws HopelessConnection where the other end is us, or calls itself as we do */
export function checkIsAnother(remote: PeerDescription, ourself: PeerDescription): void {
  if (remote.name !== ourself.name) return;
  throw remote.uid === ourself.uid ? connectToSelf() : nameCollision(ourself, remote);
}
