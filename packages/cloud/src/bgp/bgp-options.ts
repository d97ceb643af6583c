import type { AddressPool } from "../address-pools.ts";

export interface BgpOptions {
  /** Addresses of no network that the nodes are on; where it is `undefined`, those that a cloud has. */
  readonly pools: readonly AddressPool[] | undefined;
  /** Serves Services of this class alone; where it is `undefined`, those that name none. */
  readonly loadBalancerClass: string | undefined;
  /** AS of the nodes' speakers (`myASN` of a BGPPeer). */
  readonly myAsn: number;
  /** AS of the nodes' router (`peerASN`). */
  readonly peerAsn: number;
}

/** The AS numbers of the example in MetalLB's documentation. */
export const DEFAULT_BGP_OPTIONS: BgpOptions = {
  pools: undefined,
  loadBalancerClass: undefined,
  myAsn: 64500,
  peerAsn: 64501,
};
