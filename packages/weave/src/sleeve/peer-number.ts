import { formatMac, type Mac, tryParseMac } from "@cnilab/net";
import type { PeerName } from "../mesh/peer-name.ts";

/** A peer's name as packets carry it. */
export function peerNumber(name: PeerName): Mac {
  return tryParseMac(name) as Mac;
}

export function peerNamed(number: Mac): PeerName {
  return formatMac(number);
}
