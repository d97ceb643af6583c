/**
 * Orders texts by their UTF-8 bytes, as Go compares strings: by code point, where JavaScript's `<` goes by UTF-16 unit and
 * so puts what lies beyond U+FFFF (surrogates) before U+E000–U+FFFF.
 */
export function compareUtf8(x: string, y: string): number {
  const length = Math.min(x.length, y.length);
  for (let i = 0; i < length; i++) {
    const a = x.charCodeAt(i);
    const b = y.charCodeAt(i);
    if (a !== b) return codePointRank(a) - codePointRank(b);
  }
  return x.length - y.length;
}

/** Puts surrogates behind all other units. */
function codePointRank(unit: number): number {
  return (unit & 0xf800) === 0xd800 ? unit + 0x10000 : unit;
}
