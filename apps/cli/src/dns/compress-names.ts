/** How the data of a record is laid out as far as names stand in it that may be pointers (RFC 1035 §3.3): bytes before, names. */
const NAMES_IN_DATA: Readonly<Record<number, readonly [before: number, names: number]>> = {
  2: [0, 1], // NS
  5: [0, 1], // CNAME
  6: [0, 2], // SOA
  12: [0, 1], // PTR
  15: [2, 1], // MX
};
/** Names that others may point to, and that stay whole (RFC 3597 §4): the bytes before them. */
const WHOLE_IN_DATA: Readonly<Record<number, (bytes: Uint8Array, at: number) => number>> = {
  33: () => 6, // SRV
  35: (bytes, at) => {
    // NAPTR: two numbers and three strings
    let end = at + 4;
    for (let i = 0; i < 3; i++) end += 1 + (bytes[end] as number);
    return end - at;
  },
  39: () => 0, // DNAME
};
const HEADER = 12;
/** Type, class, TTL and length. */
const FIXED = 10;
const MAX_POINTER = 0x4000;

/** The message with names shortened by pointers, RFC 1035 §4.1.4: dns-packet writes all names out. */
export function compressNames(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const out = new Uint8Array(bytes.length);
  out.set(bytes.subarray(0, HEADER));
  const seen = new Map<string, number>();
  let from = HEADER;
  let to = HEADER;
  const copy = (length: number): void => {
    out.set(bytes.subarray(from, from + length), to);
    from += length;
    to += length;
  };
  const copyName = (): void => {
    while (bytes[from] !== 0) {
      const rest = suffix(bytes, from);
      const known = seen.get(rest);
      if (known !== undefined) {
        out[to++] = 0xc0 | (known >> 8);
        out[to++] = known & 0xff;
        from += rest.length;
        return;
      }
      if (to < MAX_POINTER) seen.set(rest, to);
      copy(1 + (bytes[from] as number));
    }
    copy(1);
  };
  const copyWhole = (): void => {
    while (bytes[from] !== 0) {
      const rest = suffix(bytes, from);
      if (to < MAX_POINTER && !seen.has(rest)) seen.set(rest, to);
      copy(1 + (bytes[from] as number));
    }
    copy(1);
  };
  for (let questions = view.getUint16(4); questions > 0; questions--) {
    copyName();
    copy(4);
  }
  for (
    let records = view.getUint16(6) + view.getUint16(8) + view.getUint16(10);
    records > 0;
    records--
  ) {
    copyName();
    const type = view.getUint16(from);
    const end = from + FIXED + view.getUint16(from + FIXED - 2);
    copy(FIXED);
    const start = to;
    const [before, names] = NAMES_IN_DATA[type] ?? [0, 0];
    copy(before);
    for (let i = 0; i < names; i++) copyName();
    const whole = WHOLE_IN_DATA[type];
    if (whole !== undefined) {
      copy(whole(bytes, from));
      copyWhole();
    }
    copy(end - from);
    out[start - 2] = (to - start) >> 8;
    out[start - 1] = (to - start) & 0xff;
  }
  return out.slice(0, to);
}

/** The name's bytes from a label on, the root's included, as a key. */
function suffix(bytes: Uint8Array, at: number): string {
  let end = at;
  while (bytes[end] !== 0) end += 1 + (bytes[end] as number);
  return String.fromCharCode(...bytes.subarray(at, end + 1));
}
