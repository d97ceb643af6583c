const UNITS: readonly (readonly [unit: string, ms: number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** Milliseconds of a time as `1d2h3m4s5ms`; seconds where no unit is given. */
export function parseTime(text: string): number | undefined {
  if (/^[0-9]{1,8}$/.test(text)) return Number(text) * 1000;
  const match =
    /^(?:([0-9]{1,8})d)?(?:([0-9]{1,8})h)?(?:([0-9]{1,8})m)?(?:([0-9]{1,8})s)?(?:([0-9]{1,8})ms)?$/.exec(
      text,
    );
  if (match === null || text === "") return undefined;
  return UNITS.reduce((sum, [, ms], i) => sum + ms * Number(match[i + 1] ?? 0), 0);
}

/** As nft prints a time; nothing for 0. */
export function formatTime(ms: number): string {
  let text = "";
  for (const [unit, size] of UNITS) {
    const count = Math.floor(ms / size);
    ms %= size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text;
}
