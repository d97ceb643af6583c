import type { AnyBpfMap, BpfMap, Kernel } from "@cnilab/linux";

/** The map that is pinned under this name on a machine. */
export function pinnedMap<K, V>(kernel: Kernel, name: string): BpfMap<K, V> | undefined {
  for (const map of kernel.findBpf()?.maps.values() ?? []) {
    if (map.name === name) return map as AnyBpfMap as BpfMap<K, V>;
  }
  return undefined;
}

/** Entries of all maps of these names that there are. */
export function entriesOf<K, V>(kernel: Kernel, ...names: readonly string[]): (readonly [K, V])[] {
  return names.flatMap((name) => pinnedMap<K, V>(kernel, name)?.entries() ?? []);
}

/** Bytes of a number of 16 bits the other way around, as ports stand in memory of the machines that Cilium runs on. */
export function networkOrder(port: number): number {
  return ((port & 0xff) << 8) | (port >>> 8);
}
