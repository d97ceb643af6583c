import type { ServiceState } from "./service-state.ts";

/** Programs one address family of one node. */
export interface Proxier {
  /** Makes the kernel agree with `state`. @param now virtual milliseconds */
  sync(state: ServiceState, now: number): void;
}
