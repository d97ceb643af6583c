import type { NodeAgent } from "./node-agent.ts";

/** Makes Service addresses work on a node. */
export interface ProxyEngine extends NodeAgent {}
