/**
 * Gives Services of type LoadBalancer addresses that the world reaches, and brings packets for these to nodes. There is one
 * in a cluster, or none: then such Services wait for an address.
 */
export interface LoadBalancerEngine {
  /** As `--load-balancer` names it. */
  readonly name: string;
  start(): void;
  stop(): void;
}
