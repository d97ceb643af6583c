import { originsOf } from "../corefile/zone-names.ts";
import { longestZone } from "../message/name.ts";

/** The zones for which a plugin that has no such name hands the query on. */
export class Fallthrough {
  readonly zones: readonly string[];

  /** @param args none stands for every zone; absent for no zone */
  constructor(args?: readonly string[]) {
    this.zones = args === undefined ? [] : originsOf(args, ["."]);
  }

  through(name: string): boolean {
    return longestZone(this.zones, name) !== undefined;
  }
}
