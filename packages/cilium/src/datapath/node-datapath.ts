import type { NodeConfig } from "./node-config.ts";
import type { NodeMaps } from "./node-maps.ts";

/** What the functions of a node's programs are compiled with, and share. `NodePrograms` is one. */
export interface NodeDatapath {
  readonly maps: NodeMaps;
  readonly config: NodeConfig;
}
