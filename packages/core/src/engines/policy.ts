import type { Kind } from "../api/kinds.ts";
import type { NodeAgent } from "./node-agent.ts";

/** Enforces policies on a node's pods. */
export interface PolicyEngine extends NodeAgent {
  /** Kinds of policy objects that it enforces; others are reported to the user as not enforced. */
  readonly enforces: readonly Kind[];
  /** Objects of these kinds that it refuses as a whole, as `NetworkPolicy default/web`; its warnings say why. */
  readonly refuses?: readonly string[];
}
