/** Whether plain data is equal: objects and lists without regard to identity, maps in any order. */
export function sameValue(x: unknown, y: unknown): boolean {
  if (Object.is(x, y)) return true;
  if (typeof x !== "object" || typeof y !== "object" || x === null || y === null) return false;
  if (Array.isArray(x)) {
    return Array.isArray(y) && x.length === y.length && x.every((each, i) => sameValue(each, y[i]));
  }
  if (x instanceof Map) {
    return (
      y instanceof Map &&
      x.size === y.size &&
      [...x].every(([key, each]) => y.has(key) && sameValue(each, y.get(key)))
    );
  }
  if (Array.isArray(y) || y instanceof Map) return false;
  const keys = Object.keys(x);
  return (
    keys.length === Object.keys(y).length &&
    keys.every(
      (key) =>
        Object.hasOwn(y, key) &&
        sameValue((x as Record<string, unknown>)[key], (y as Record<string, unknown>)[key]),
    )
  );
}
