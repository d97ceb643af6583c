export { type ImportedState, type ImportOptions, importState } from "./import-state.ts";
export { ImportedCluster, ImportedNode, importCluster } from "./imported-cluster.ts";
export { OutsideWorld } from "./outside-world.ts";
export type { SavedFiles } from "./saved-files.ts";
export { type NodeSummary, summarise } from "./summary.ts";
export { Unmodelled } from "./unmodelled.ts";
export type { OutsideGateway, Wire } from "./wiring.ts";
