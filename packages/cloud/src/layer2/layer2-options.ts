import type { AddressPool } from "../address-pools.ts";

export interface Layer2Options {
  /** Addresses on the nodes' own network; where it is `undefined`, some at the upper end of it. */
  readonly pools: readonly AddressPool[] | undefined;
  /** Serves Services of this class alone; where it is `undefined`, those that name none. */
  readonly loadBalancerClass: string | undefined;
}

export const DEFAULT_LAYER2_OPTIONS: Layer2Options = {
  pools: undefined,
  loadBalancerClass: undefined,
};
