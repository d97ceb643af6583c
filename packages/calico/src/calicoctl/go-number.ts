/** A number of at least 0 as Go's `%.5g` prints it: five significant digits, without the zeros behind them. */
export function fiveDigits(value: number): string {
  if (value === 0) return "0";
  const [mantissa = "", exponent = ""] = value.toExponential(4).split("e");
  const power = Number(exponent);
  if (power < -4 || power >= 5) {
    const sign = power < 0 ? "-" : "+";
    return `${withoutZeros(mantissa)}e${sign}${String(Math.abs(power)).padStart(2, "0")}`;
  }
  return withoutZeros(value.toPrecision(5));
}

function withoutZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** `%.f`: rounded to a whole number, and between two of them to the even one. */
export function wholeNumber(value: number): string {
  const below = Math.floor(value);
  const rest = value - below;
  const up = rest > 0.5 || (rest === 0.5 && below % 2 === 1);
  return (BigInt(below) + (up ? 1n : 0n)).toString();
}
