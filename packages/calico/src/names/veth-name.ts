import { sha1 } from "@noble/hashes/legacy.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/**
 * The host side of a pod's veth: 15 characters at most with the usual prefix, as IFNAMSIZ wants
 * (`libcalico-go/lib/backend/k8s/conversion/workload_endpoint_default.go` VethNameForWorkload). Names with dots may collide.
 * @param interfacePrefix FelixConfiguration's `interfacePrefix`: the first of a comma-separated list counts
 */
export function vethName(namespace: string, pod: string, interfacePrefix = "cali"): string {
  const prefix = interfacePrefix === "" ? "cali" : interfacePrefix.split(",")[0];
  return `${prefix}${bytesToHex(sha1(utf8ToBytes(`${namespace}.${pod}`))).slice(0, 11)}`;
}
