/** Names with numbers in them as docker sorts them (fvbommel/sortorder `NaturalLess`): by bytes, numbers by their value. */
export function byNaturalOrder(x: string, y: string): number {
  const [xs, ys] = [chunks(x), chunks(y)];
  for (let i = 0; i < Math.min(xs.length, ys.length); i++) {
    const [a = "", b = ""] = [xs[i], ys[i]];
    const order = isNumber(a) && isNumber(b) ? byValue(a, b) : byText(a, b);
    if (order !== 0) return order;
  }
  return xs.length - ys.length;
}

/** One number, or one other character. */
function chunks(text: string): readonly string[] {
  return text.match(/[0-9]+|[^0-9]/gu) ?? [];
}

function isNumber(chunk: string): boolean {
  return /^[0-9]/.test(chunk);
}

/** Of two of one value, that with fewer zeros in front comes first. */
function byValue(x: string, y: string): number {
  const [a, b] = [x.replace(/^0+/, ""), y.replace(/^0+/, "")];
  return a.length - b.length || byText(a, b) || x.length - y.length;
}

function byText(x: string, y: string): number {
  if (x === y) return 0;
  return x < y ? -1 : 1;
}
