/** Whether two 32-bit words are equal in their first `bits` bits; fewer than 0 count as 0, more than 32 as 32. */
export function equalLeadingBits(x: number, y: number, bits: number): boolean {
  if (bits <= 0) return true;
  return bits >= 32 ? (x ^ y) === 0 : (x ^ y) >>> (32 - bits) === 0;
}
