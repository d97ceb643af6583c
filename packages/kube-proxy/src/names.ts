import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base32 } from "@scure/base";

/**
 * The 16 letters that end the name of a chain: the base32 (RFC 4648) of the SHA-256 of what the chain
 * is for (pkg/proxy/iptables/proxier.go `portProtoHash`, `servicePortEndpointChainName`).
 */
function hashOf(text: string): string {
  // 16 letters of 5 bits are exactly the first 10 bytes.
  return base32.encode(sha256(utf8ToBytes(text)).subarray(0, 10));
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
