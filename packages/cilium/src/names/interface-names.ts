import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** The host end of an endpoint's veth (`pkg/datapath/connector/add.go` Endpoint2IfName). @param id `CONTAINER:INTERFACE` */
export function endpointInterfaceName(id: string): string {
  return `lxc${bytesToHex(sha256(utf8ToBytes(id))).slice(0, 12)}`;
}

/** The container's end, until it is renamed (Endpoint2TempIfName). */
export function temporaryInterfaceName(id: string): string {
  return `tmp${id.slice(0, 5)}`;
}
