/** Bits of a packet's mark that rules use among themselves. */
export interface MarkBits {
  /** Policy has allowed the packet. */
  readonly accept: number;
  /** A policy passes the packet on to the next tier. */
  readonly pass: number;
  readonly drop: number;
  /** For one rule that takes several. */
  readonly scratch0: number;
  readonly scratch1: number;
  /** Encrypted packets; 0 without WireGuard. */
  readonly wireguard: number;
  /** Which endpoint a packet came from, for IPVS. */
  readonly endpoint: number;
  /** The value in {@link endpoint} that says: none of Calico's; 0 without IPVS. */
  readonly nonCaliEndpoint: number;
}

/** Felix needs more bits than the mask has. */
export class MarkMaskError extends Error {
  override name = "MarkMaskError";
}

/**
 * Gives the bits of a mask away from the lowest on (`felix/dataplane/driver.go` StartDataplaneDriver).
 * @throws MarkMaskError where there are too few
 */
export function allocateMarkBits(
  mask: number,
  needs: { readonly wireguard: boolean; readonly ipvs: boolean },
): MarkBits {
  let free = mask >>> 0;
  const next = () => {
    const bit = (free & -free) >>> 0;
    if (bit === 0) {
      const what = `0x${(mask >>> 0).toString(16)}`;
      throw new MarkMaskError(`iptablesMarkMask ${what} has too few bits: give it 8 or more`);
    }
    free = (free & ~bit) >>> 0;
    return bit;
  };
  const [accept, pass, drop, scratch0, scratch1] = [next(), next(), next(), next(), next()];
  const wireguard = needs.wireguard ? next() : 0;
  const endpoint = free;
  const nonCaliEndpoint = needs.ipvs ? next() : 0;
  return { accept, pass, drop, scratch0, scratch1, wireguard, endpoint, nonCaliEndpoint };
}

/** What starts of chains clear: all but what outlives a chain. */
export function allCalicoBits({ accept, pass, scratch0, scratch1 }: MarkBits): number {
  return (accept | pass | scratch0 | scratch1) >>> 0;
}
