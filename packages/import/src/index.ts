export { type ImportedState, type ImportOptions, importState } from "./import-state.ts";
export { OutsideWorld } from "./outside-world.ts";
export type { SavedFiles } from "./saved-files.ts";
export { Unmodelled } from "./unmodelled.ts";
