/** Letters of generated names: none that makes words or is taken for another (apimachinery util/rand). */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** FNV-1a over UTF-16 units, 32 bits. */
export function fnv32a(text: string, start = 0x811c9dc5): number {
  let h = start;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/**
 * Five letters behind a generated name. They follow from the name's base and its number, not from the
 * order in which things happened to be made, so that one input gives one set of names.
 */
export function nameSuffix(base: string, number: number): string {
  let h = fnv32a(base) ^ Math.imul(number + 1, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  let rest = (h ^ (h >>> 16)) >>> 0;
  let text = "";
  for (let i = 0; i < 5; i++) {
    text += ALPHABET[rest % ALPHABET.length];
    rest = Math.floor(rest / ALPHABET.length);
  }
  return text;
}

/** `pod-template-hash`: a 32-bit hash in the safe alphabet (apimachinery rand.SafeEncodeString). */
export function templateHash(template: unknown): string {
  let text = "";
  for (const digit of String(fnv32a(canonicalJson(template)))) {
    text += ALPHABET[digit.charCodeAt(0) % ALPHABET.length];
  }
  return text;
}

/** JSON with sorted keys and without what is undefined: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) => {
    if (v === null || typeof v !== "object" || Array.isArray(v)) return v;
    // Without a prototype, so that a field may have any name.
    const sorted: Record<string, unknown> = Object.create(null);
    for (const key of Object.keys(v).sort()) sorted[key] = (v as Record<string, unknown>)[key];
    return sorted;
  });
}
