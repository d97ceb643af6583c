/** A port of which some of the last bits may be anything. */
export interface MaskedPort {
  readonly port: number;
  /** 0xffff for one port, 0 for all. */
  readonly mask: number;
}

function masked(port: number, wildcardBits: number): MaskedPort {
  const mask = (0xffff << wildcardBits) & 0xffff;
  return { port: port & mask, mask };
}

/** A range as the fewest masked ports that an LPM trie can hold, in the order of pkg/policy/portrange.go PortRangeToMaskedPorts. */
export function maskedPorts(start: number, end: number): readonly MaskedPort[] {
  if (start === 0 && (end === 0 || end === 0xffff)) return [{ port: 0, mask: 0 }];
  if (end <= start) return [{ port: start, mask: 0xffff }];
  const commonBits = Math.clz32(start ^ end) - 16;
  const differing = 0xffff >> commonBits;
  if ((start & differing) === 0 && (~end & differing) === 0) {
    return [masked(start, 16 - commonBits)];
  }
  const middleBit = 15 - commonBits;
  const middle = 1 << middleBit;
  const ports: MaskedPort[] = [];
  // From the start up to the middle, then from the end down to it.
  let bit = trailingZeros(start | middle);
  ports.push(masked(start, bit));
  for (bit++; bit < middleBit; bit++) {
    if ((start & (1 << bit)) === 0) ports.push(masked(start + (1 << bit), bit));
  }
  bit = trailingZeros(~end | middle);
  ports.push(masked(end, bit));
  for (bit++; bit < middleBit; bit++) {
    if ((end & (1 << bit)) !== 0) ports.push(masked(end - (1 << bit), bit));
  }
  return ports;
}

function trailingZeros(value: number): number {
  return 31 - Math.clz32(value & -value);
}

/** Leading bits of a mask. */
export function prefixLengthOf(mask: number): number {
  return 16 - trailingZeros(mask | 0x10000);
}
