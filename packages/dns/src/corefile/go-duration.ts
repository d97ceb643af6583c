const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of a duration as Go's `time.ParseDuration` reads it: `1h30m`, `500ms`, `0`. */
export function parseDuration(text: string): number | undefined {
  const match = /^([+-]?)((?:[0-9]*\.?[0-9]+|[0-9]+\.)(?:ns|us|µs|ms|s|m|h))+$/.exec(text);
  if (match === null) return /^[+-]?0$/.test(text) ? 0 : undefined;
  let total = 0;
  for (const [, count, unit] of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(count) * (UNITS_MS[unit as string] as number);
  }
  return match[1] === "-" ? -total : total;
}
