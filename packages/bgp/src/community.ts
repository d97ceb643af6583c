/** A standard community, two 16-bit halves as one number (RFC 1997). */
export type StandardCommunity = number;

/** `global administrator`, `local data part 1`, `local data part 2` (RFC 8092). */
export type LargeCommunity = readonly [number, number, number];

/** Well-known communities (RFC 1997). */
export const NO_EXPORT: StandardCommunity = 0xffffff01;
export const NO_ADVERTISE: StandardCommunity = 0xffffff02;
export const NO_EXPORT_SUBCONFED: StandardCommunity = 0xffffff03;

/** Reads `aa:nn` or `aa:nn:mm`; `undefined` where it is neither. */
export function parseCommunity(text: string): StandardCommunity | LargeCommunity | undefined {
  const parts = text.split(":");
  if (!parts.every((p) => /^\d+$/.test(p))) return undefined;
  const [a = 0, b = 0, c = 0] = parts.map(Number);
  if (parts.length === 2) return a > 0xffff || b > 0xffff ? undefined : a * 0x10000 + b;
  if (parts.length !== 3 || [a, b, c].some((n) => n > 0xffffffff)) return undefined;
  return [a, b, c];
}

/** As BIRD shows it: `(65000,100)`. */
export function formatCommunity(community: StandardCommunity | LargeCommunity): string {
  if (typeof community !== "number") return `(${community.join(", ")})`;
  return `(${community >>> 16},${community & 0xffff})`;
}

export function sameLarge(x: LargeCommunity, y: LargeCommunity): boolean {
  return x[0] === y[0] && x[1] === y[1] && x[2] === y[2];
}
