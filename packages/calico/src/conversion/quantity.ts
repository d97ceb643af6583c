const QUANTITY = /^([+-]?)(\d*)(?:\.(\d*))?([a-zA-Z]*)([+-]?\d+)?$/;
const DECIMAL: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  "": 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const BINARY: Readonly<Record<string, number>> = { Ki: 10, Mi: 20, Gi: 30, Ti: 40, Pi: 50, Ei: 60 };
/** Beyond it nothing is a quantity: int64. */
const MAX_EXPONENT = 18;

/**
 * A quantity of Kubernetes as a whole number, fractions rounded up: `1k`, `4Gi`, `1.5e3` (apimachinery `resource.ParseQuantity` and `Value`);
 * `undefined` where it is none.
 */
export function tryParseQuantity(text: string): bigint | undefined {
  const [, sign = "", whole = "", fraction = "", suffix = "", exponent] = QUANTITY.exec(text) ?? [];
  if (whole + fraction === "") return undefined;
  const digits = BigInt(whole + fraction);
  const scale = scaleOf(suffix, exponent);
  if (scale === undefined) return undefined;
  const ten = scale.ten - fraction.length;
  const numerator = digits * (1n << BigInt(scale.two)) * (ten > 0 ? 10n ** BigInt(ten) : 1n);
  const denominator = ten < 0 ? 10n ** BigInt(-ten) : 1n;
  return sign === "-" ? -(numerator / denominator) : (numerator + denominator - 1n) / denominator;
}

function scaleOf(
  suffix: string,
  exponent: string | undefined,
): { readonly ten: number; readonly two: number } | undefined {
  if (exponent !== undefined) {
    const ten = Number(exponent);
    return (suffix === "e" || suffix === "E") && Math.abs(ten) <= MAX_EXPONENT
      ? { ten, two: 0 }
      : undefined;
  }
  const ten = Object.hasOwn(DECIMAL, suffix) ? DECIMAL[suffix] : undefined;
  if (ten !== undefined) return { ten, two: 0 };
  const two = Object.hasOwn(BINARY, suffix) ? BINARY[suffix] : undefined;
  return two === undefined ? undefined : { ten: 0, two };
}
