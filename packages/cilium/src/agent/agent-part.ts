import type { CiliumAgent } from "./cilium-agent.ts";
import type { Endpoint } from "./endpoint.ts";

/**
 * A part of cilium-agent on one node. Parts start in their order when the node has its addresses and devices, and stop in the opposite
 * one. What they have put into maps and the kernel stays, as when the agent's container ends; a restart makes them anew.
 */
export interface AgentPart {
  readonly name: string;
  /** What it could not do, one line each; the same text on nodes where it is the same. */
  readonly warnings?: readonly string[];
  start(): void;
  stop(): void;
  /**
   * An endpoint is new on the node, or is there again after a restart of the agent; in the order of the parts, before it is told to the
   * CNI plugin that it is made. Parts before the loader so say what its programs are compiled with.
   */
  endpointAdded?(endpoint: Endpoint): void;
  endpointRemoved?(endpoint: Endpoint): void;
  /** What the API server tells of its pod, host endpoints too; only changes. */
  endpointChanged?(endpoint: Endpoint): void;
}

/** Makes a part of one run of the agent. Nothing where the cluster's settings have no use for it. */
export type AgentPartFactory = (agent: CiliumAgent) => AgentPart | undefined;
