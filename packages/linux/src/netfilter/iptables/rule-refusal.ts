import type { RulePlace } from "./extension.ts";
import { Complaint } from "./iptables-error.ts";

/** A rule that the kernel does not take (`EINVAL` of a checkentry function). */
export function invalidRule(place: RulePlace): Complaint {
  return refusedRule(place, "Invalid argument");
}

/** @param error as strerror(3) words it */
export function refusedRule({ chain }: RulePlace, error: string): Complaint {
  return new Complaint("kernel", `RULE_APPEND failed (${error}): rule in chain ${chain}`);
}

/** A target that works in some tables only. @throws Complaint */
export function demandTable(place: RulePlace, ...tables: string[]): void {
  if (!tables.includes(place.table)) throw invalidRule(place);
}
