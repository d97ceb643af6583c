import type { NodeAgent } from "./node-agent.ts";

/** Carries packets between nodes: programs routes, tunnels and neighbours for the other nodes' pods. */
export interface OverlayEngine extends NodeAgent {
  /** Bytes that a pod's packet may have; 0 until the agent knows. */
  readonly mtu: number;
}
