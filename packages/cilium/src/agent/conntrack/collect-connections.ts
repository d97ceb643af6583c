import { IPPROTO_TCP } from "@cnilab/net";
import {
  type CtEntry,
  type CtMap,
  CtTuple,
  TUPLE_F_IN,
  TUPLE_F_OUT,
} from "../../datapath/maps/conntrack-map.ts";
import type { SnatMap } from "../../datapath/maps/snat-map.ts";

// Programs leave connections that are over in the maps: the agent takes them out (pkg/maps/ctmap).

/**
 * Takes out what is past its time, and how its source was translated (`doGCForFamily`, `natMapNext`).
 * @param now virtual seconds
 * @returns how many connections there were
 */
export function collectConnections(map: CtMap, snat: SnatMap, now: number): number {
  let deleted = 0;
  for (const [key, entry] of map.entries()) {
    if (entry.lifetime >= now) continue;
    map.delete(key);
    deleted++;
    if (key.flags === TUPLE_F_OUT) deleteMappings(snat, key, entry);
  }
  return deleted;
}

/** `nat.DeleteMapping4`, `nat.DeleteSwappedMapping4` */
function deleteMappings(snat: SnatMap, connection: CtTuple, { dsrInternal }: CtEntry): void {
  if (dsrInternal) {
    const key = connection.clone();
    key.swapPorts();
    remove(snat, key);
    return;
  }
  const key = connection.clone();
  key.swapAddresses();
  const mapping = snat.get(key);
  if (mapping === undefined) return;
  const { daddr, dport, nexthdr } = key;
  remove(snat, key);
  // dest, source, dest port, source port
  remove(snat, new CtTuple(mapping.toAddress, daddr, mapping.toPort, dport, nexthdr, TUPLE_F_IN));
}

function remove(snat: SnatMap, key: CtTuple): void {
  if (snat.get(key) !== undefined) snat.delete(key);
}

/**
 * Takes out mappings whose connection the map has given up, or uses for another (`PurgeOrphanNATEntries`).
 * @returns how many there were
 */
export function purgeOrphanMappings(tcp: CtMap, any: CtMap, snat: SnatMap): number {
  let deleted = 0;
  for (const [key, { toAddress, toPort }] of snat.entries()) {
    const map = key.nexthdr === IPPROTO_TCP ? tcp : any;
    if (isNeeded(map, key, toAddress, toPort)) continue;
    snat.delete(key);
    deleted++;
  }
  return deleted;
}

function isNeeded(map: CtMap, key: CtTuple, toAddress: CtTuple["daddr"], toPort: number): boolean {
  const { saddr, sport, daddr, dport, nexthdr } = key;
  if ((key.flags & TUPLE_F_IN) !== 0) {
    return (
      map.get(new CtTuple(toAddress, saddr, sport, toPort, nexthdr, TUPLE_F_OUT)) !== undefined
    );
  }
  const egress = new CtTuple(saddr, daddr, dport, sport, nexthdr, TUPLE_F_OUT);
  if (map.get(egress) !== undefined) return true;
  const dsr = new CtTuple(daddr, saddr, sport, dport, nexthdr, TUPLE_F_OUT);
  return map.get(dsr)?.dsrInternal === true;
}
