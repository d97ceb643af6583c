import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/**
 * The 16 letters that end the name of a chain: the base32 (RFC 4648) of the SHA-256 of what the chain
 * is for (pkg/proxy/iptables/proxier.go `portProtoHash`, `servicePortEndpointChainName`).
 */
function hashOf(text: string): string {
  const digest = sha256(utf8ToBytes(text));
  let name = "";
  // 16 letters of 5 bits are exactly the first 10 bytes.
  for (let bit = 0; bit < 80; bit += 5) {
    const at = bit >> 3;
    const word = ((digest[at] as number) << 8) | (digest[at + 1] as number);
    name += ALPHABET[(word >> (11 - (bit & 7))) & 31];
  }
  return name;
}

/** Names of the chains of one service port. */
export interface ServiceChains {
  /** Chooses among all usable endpoints. */
  readonly cluster: string;
  /** Chooses among this node's endpoints. */
  readonly local: string;
  /** Where traffic from outside enters. */
  readonly external: string;
  /** Admits the source ranges of a load balancer. */
  readonly firewall: string;
}

/** @param spn `namespace/service` or `namespace/service:port` @param protocol in lower case */
export function serviceChains(spn: string, protocol: string): ServiceChains {
  const hash = hashOf(spn + protocol);
  return {
    cluster: `KUBE-SVC-${hash}`,
    local: `KUBE-SVL-${hash}`,
    external: `KUBE-EXT-${hash}`,
    firewall: `KUBE-FW-${hash}`,
  };
}

/** @param endpoint `ip:port`, `[ip]:port` for IPv6 */
export function endpointChain(spn: string, protocol: string, endpoint: string): string {
  return `KUBE-SEP-${hashOf(spn + protocol + endpoint)}`;
}
