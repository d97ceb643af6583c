/** Sets by key, of which none is empty. */
export type KeyedSets<K, V> = Map<K, Set<V>>;

/** Adds to the set of a key. */
export function addTo<K, V>(sets: KeyedSets<K, V>, key: K, value: V): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

/** Takes out of the set of a key, and the set away with its last value. */
export function deleteFrom<K, V>(sets: KeyedSets<K, V>, key: K, value: V): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
