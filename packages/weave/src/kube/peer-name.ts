import type { HostFiles } from "@cnilab/core";
import { formatMac } from "@cnilab/net";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import type { PeerName } from "../mesh/peer-name.ts";

/** machine-id(5): 32 hexadecimal digits, made when the system is installed. */
const MACHINE_ID_FILE = "/etc/machine-id";
/** The firmware's; virtual machines without one have no such file. */
const PRODUCT_UUID_FILE = "/sys/class/dmi/id/product_uuid";
/** So that others who make MACs of the same ids make others (net/mac.go MACfromUUID). */
const SALT = "9oBJ0Jmip-";

/** The peer's name: the hash of what the machine is known by, as a MAC that nobody's card has (net/uuid.go GetSystemPeerName). */
export function systemPeerName(files: HostFiles, hostname: string): PeerName {
  const machineId = files.read(MACHINE_ID_FILE) ?? installMachineId(files, hostname);
  const hash = sha256(utf8ToBytes(`${SALT}${machineId}${files.read(PRODUCT_UUID_FILE) ?? ""}`));
  let mac = ((hash[0] ?? 0) & 0xfe) | 0x02;
  for (const octet of hash.subarray(1, 6)) mac = mac * 256 + octet;
  return formatMac(mac);
}

/** A machine that has none gets one that stays the same over runs of the model. */
function installMachineId(files: HostFiles, hostname: string): string {
  const id = `${bytesToHex(sha256(utf8ToBytes(`machine-id ${hostname}`))).slice(0, 32)}\n`;
  files.write(MACHINE_ID_FILE, id);
  return id;
}
