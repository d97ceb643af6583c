import type { Outcome, Walk } from "./walk.ts";

/** One step of a rule. */
export interface Operation {
  run(walk: Walk): Outcome;
}
