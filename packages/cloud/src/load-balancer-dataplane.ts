import type { LoadBalancerIngress, Service } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";

/** How packets for a load balancer's addresses get to nodes. */
export interface LoadBalancerDataplane {
  /** Whether nodes may take a packet for the address themselves (KEP-1860). */
  readonly ipMode: NonNullable<LoadBalancerIngress["ipMode"]>;
  /**
   * Makes packets for these addresses reach the Service's ports, or changes how they do.
   * @throws AddressPoolError (or another Error) for what cannot be done, as one sentence for an Event
   */
  program(service: Service, addresses: readonly IpAddress[]): void;
  /** @param key `namespace/name` of the Service */
  remove(key: string): void;
}
