import { sha256 } from "@noble/hashes/sha2.js";
import { utf8ToBytes } from "@noble/hashes/utils.js";
import { base32 } from "@scure/base";
import type { ProxyEndpoint } from "../endpoint.ts";
import type { ServicePort } from "../service-port.ts";

/** nftables takes names of up to 256 letters; 16 are kept for prefixes (`chainNameBaseLengthMax`). */
const LONGEST_BASE = 240;

/** Names of the chains of one service port. */
export interface NftServiceChains {
  /** Chooses among all usable endpoints. */
  readonly cluster: string;
  /** Chooses among this node's endpoints. */
  readonly local: string;
  /** Where traffic from outside enters. */
  readonly external: string;
  /** Admits the source ranges of a load balancer. */
  readonly firewall: string;
}

/** Names of what one endpoint of a service port has. */
export interface NftEndpointNames {
  readonly chain: string;
  /** The set of clients that stay with it. */
  readonly affinitySet: string;
}

/** pkg/proxy/nftables/proxier.go `servicePortChainNameBase` */
export function nftServiceChains(port: ServicePort): NftServiceChains {
  const base = hashed(pathOf(port));
  return {
    cluster: `service-${base}`,
    local: `local-${base}`,
    external: `external-${base}`,
    firewall: `firewall-${base}`,
  };
}

/** pkg/proxy/nftables/proxier.go `servicePortEndpointChainNameBase` */
export function nftEndpointNames(port: ServicePort, endpoint: ProxyEndpoint): NftEndpointNames {
  // A colon may not be in the name of a chain.
  const ip = endpoint.ip.replaceAll(":", ".");
  const base = hashed(`${pathOf(port)}__${ip}/${endpoint.port}`);
  return { chain: `endpoint-${base}`, affinitySet: `affinity-${base}` };
}

function pathOf({ origin, protocol, portName }: ServicePort): string {
  return `${origin.namespace}/${origin.name}/${protocol}/${portName}`;
}

/** The name behind 8 letters of its SHA-256, cut where it is too long (`hashAndTruncate`). */
function hashed(name: string): string {
  // 8 letters of 5 bits are exactly the first 5 bytes.
  const base = `${base32.encode(sha256(utf8ToBytes(name)).subarray(0, 5))}-${name}`;
  return base.length > LONGEST_BASE ? `${base.slice(0, LONGEST_BASE - 3)}...` : base;
}
