import { isDeepStrictEqual } from "node:util";

/** @returns what is different, field by field; `undefined` where all is equal */
export function difference(
  want: Readonly<Record<string, unknown>>,
  got: Readonly<Record<string, unknown>>,
): string | undefined {
  const lines: string[] = [];
  for (const field of Object.keys(got)) {
    if (isDeepStrictEqual(want[field], got[field])) continue;
    lines.push(
      `${field}: want ${JSON.stringify(want[field])}\n  got ${JSON.stringify(got[field])}`,
    );
  }
  return lines.length === 0 ? undefined : lines.join("\n");
}
