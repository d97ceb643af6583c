/** Of those numbers that are not 0; 0 where there are none. */
export function greatestCommonDivisor(numbers: readonly number[]): number {
  return numbers.reduce((x, y) => {
    while (y > 0) [x, y] = [y, x % y];
    return x;
  }, 0);
}
