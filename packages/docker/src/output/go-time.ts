import { timestamp } from "@cnilab/core";

/** Go's zero time, where something has not been yet. */
const NEVER = "0001-01-01T00:00:00Z";

/** A moment of the virtual clock as Go's RFC3339Nano has it, with no more digits than it takes. */
export function goTime(ms: number | undefined): string {
  if (ms === undefined) return NEVER;
  const rest = ms % 1000;
  if (rest === 0) return timestamp(ms);
  const fraction = (rest / 1000).toFixed(9).slice(1).replace(/0+$/, "");
  return timestamp(ms).replace("Z", `${fraction === "." ? "" : fraction}Z`);
}
