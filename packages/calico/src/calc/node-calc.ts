import type { NodeChanges, NodeDataplane } from "./node-policy.ts";

/**
 * One node's part of the calculation graph. It shows what it had when it was last told to {@link take}; so each node goes at its own pace, and one
 * whose Felix does not run keeps what it had.
 */
export interface NodeCalc extends NodeDataplane {
  readonly name: string;
  readonly hasChanges: boolean;
  /** Calls when there is something to take; again only after a {@link take}. @returns what ends it */
  onChange(listener: () => void): () => void;
  /** Brings what is shown up to what the graph has now. @returns the keys of what is different */
  take(): NodeChanges;
}
