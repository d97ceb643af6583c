import { jhash2 } from "@cnilab/linux";
import type { IpAddress } from "@cnilab/net";
import type { MaglevConfig } from "./maglev-config.ts";

/**
 * What stands for a connection when its service's table is looked up: its client and its ports, not the address that it
 * asks for. Of services with session affinity the client's port does not count: give 0 (`lb4_select_backend_id_maglev`).
 */
export interface HashedTuple {
  readonly client: IpAddress;
  readonly clientPort: number;
  readonly servicePort: number;
  readonly protocol: number;
}

/** The hash that picks a slot, modulo the table's size (bpf/lib/hash.h), as little-endian machines compute it. */
export function packetHash(
  { client, clientPort, servicePort, protocol }: HashedTuple,
  { jhashSeed4, jhashSeed6 }: MaglevConfig,
): number {
  const ports = ((swap16(servicePort) << 16) | swap16(clientPort)) >>> 0;
  if (typeof client === "number") return jhash2([swap32(client), ports, protocol], jhashSeed4);
  const address = [client.a, client.b, client.c, client.d].map(swap32);
  // The program mixes from zero and adds the seed last; jhash2 would start from this constant and the length.
  return jhash2([...address, ports, protocol, jhashSeed6], -(0xdeadbeef + 7 * 4));
}

/** Headers are in network order, and the program takes them for numbers as they are. */
function swap16(value: number): number {
  return ((value & 0xff) << 8) | (value >>> 8);
}

function swap32(value: number): number {
  return ((swap16(value & 0xffff) << 16) | swap16(value >>> 16)) >>> 0;
}
