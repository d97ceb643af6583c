import { parseIp } from "@cnilab/net";
import type { AddressPool } from "../address-pools.ts";

export interface CloudOptions {
  readonly pools: readonly AddressPool[];
  /**
   * Whether packets arrive at nodes as the client sent them, from its address to the load balancer's. Otherwise they come from
   * the load balancer to a node port.
   */
  readonly sourcePreserving: boolean;
  /**
   * What says whether a node can take packets of Services with external policy Cluster: its kube-proxy, or the Service's first
   * TCP node port. With policy Local it is the Service's health check port in any case.
   */
  readonly healthCheck: "kube-proxy" | "node-port";
  /** Virtual milliseconds that it takes to make a load balancer, or to change one. */
  readonly latencyMs: number;
  /** Serves Services of this class alone; where it is `undefined`, those that name none. */
  readonly loadBalancerClass: string | undefined;
}

/** A network for documentation (RFC 5737, RFC 3849), as the address space that the cloud owns. */
export const CLOUD_POOL: AddressPool = {
  name: "cloud",
  ranges: [
    { first: parseIp("198.51.100.1"), last: parseIp("198.51.100.254") },
    { first: parseIp("2001:db8:198::1"), last: parseIp("2001:db8:198::ffff") },
  ],
};

export const DEFAULT_CLOUD_OPTIONS: CloudOptions = {
  pools: [CLOUD_POOL],
  sourcePreserving: true,
  healthCheck: "kube-proxy",
  latencyMs: 30_000,
  loadBalancerClass: undefined,
};
