import type { PortRange } from "../calc/messages.ts";

/** Ports that one `multiport` match takes; a range counts twice. */
const SLOTS = 15;

/** Ports in as many lists as matches are needed (`felix/rules/policy.go` SplitPortList). */
export function splitPorts(all: readonly PortRange[]): (readonly PortRange[])[] {
  const splits: PortRange[][] = [];
  let room = 0;
  for (const range of all) {
    const needed = range.first === range.last ? 1 : 2;
    let split = splits.at(-1);
    if (split === undefined || room < needed) {
      split = [];
      splits.push(split);
      room = SLOTS;
    }
    split.push(range);
    room -= needed;
  }
  return splits;
}
