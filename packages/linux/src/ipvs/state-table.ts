/** The state that follows each state. */
export type NextStates = readonly number[];

/** An event that leaves most states as they are. */
export function stays(states: number, moves: Readonly<Record<number, number>>): NextStates {
  return Array.from({ length: states }, (_, state) => moves[state] ?? state);
}

/** An event that leads to one state from most others. */
export function leadsTo(
  states: number,
  next: number,
  exceptions: Readonly<Record<number, number>> = {},
): NextStates {
  return Array.from({ length: states }, (_, state) => exceptions[state] ?? next);
}
