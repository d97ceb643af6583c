/** Longest name of an ipset: IPSET_MAXNAMELEN of `linux/netfilter/ipset/ip_set.h`, less the NUL. */
const MAX_IP_SET_NAME_LENGTH = 31;

/** Name in the kernel of an IP set: cut, not hashed, as ids are hashes already (`felix/ipsets/ipset_defs.go` NameForMainIPSet). */
export function ipSetName(id: string, family: 4 | 6): string {
  return `cali${family}0${id}`.slice(0, MAX_IP_SET_NAME_LENGTH);
}

/** Name of the n-th set that is filled and swapped in (`felix/ipsets/ipset_defs.go` NameForTempIPSet). */
export function tempIpSetName(n: number, family: 4 | 6): string {
  return `cali${family}t${n}`;
}
