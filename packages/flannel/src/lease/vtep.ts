import { InputError } from "@cnilab/core";
import { formatMac, type IpFamily, type Mac, tryParseMac } from "@cnilab/net";
import { JsonObject } from "../conf/json-object.ts";
import { type Lease, sideOf } from "./lease.ts";

/** Backend data of vxlan, as flanneld spells it. */
export function vxlanData(vni: number, mac: Mac): string {
  return JSON.stringify({ VNI: vni, VtepMAC: formatMac(mac) });
}

/** Macs by lease and family; leases are immutable, and read for every table that holds them. */
const known = {
  4: new WeakMap<Lease, Mac | undefined>(),
  6: new WeakMap<Lease, Mac | undefined>(),
};

/** MAC of the node's vxlan device; `undefined` where the lease is of another backend or says none. */
export function vtepMacOf(lease: Lease, family: IpFamily): Mac | undefined {
  const cache = known[family];
  if (!cache.has(lease)) cache.set(lease, readMac(lease, family));
  return cache.get(lease);
}

function readMac(lease: Lease, family: IpFamily): Mac | undefined {
  if (lease.attributes.backendType !== "vxlan") return undefined;
  const side = sideOf(lease, family);
  if (side === undefined) return undefined;
  try {
    return tryParseMac(JsonObject.parse(side.data, "backend-data").string("VtepMAC") ?? "");
  } catch (error) {
    if (error instanceof InputError) return undefined; // "error decoding subnet lease JSON", and on
    throw error;
  }
}
