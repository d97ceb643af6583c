const UNITS: Readonly<Record<string, number>> = { h: 3600, m: 60, s: 1, ms: 0.001 };

/** Whole seconds of a duration as Go writes it, `1m30s`; `undefined` where there is none. */
export function seconds(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  let total = 0;
  for (const [, number, unit] of text.matchAll(/([\d.]+)(h|ms|m|s)/g)) {
    total += Number(number) * (UNITS[unit as string] as number);
  }
  return Math.round(total);
}
