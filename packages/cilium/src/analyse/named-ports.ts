import type { Protocol } from "@cnilab/core";
import type { Workload } from "@cnilab/network-policy";

/**
 * Ports that egress rules name. Of all pods of the cluster one number must have the name, whoever is asked for: else the name is
 * none (pkg/types/portmap.go namedPortMultiMap).
 */
export class NamedPorts {
  readonly #workloads: () => readonly Workload[];
  #numbers: ReadonlyMap<string, ReadonlySet<number>> | undefined;

  /** @param workloads asked once, when the first name is looked for */
  constructor(workloads: () => readonly Workload[]) {
    this.#workloads = workloads;
  }

  of(name: string, protocol: Protocol): number | undefined {
    this.#numbers ??= numbersOf(this.#workloads());
    const numbers = [...(this.#numbers.get(`${protocol}/${name}`) ?? [])];
    return numbers.length === 1 ? numbers[0] : undefined;
  }
}

function numbersOf(workloads: readonly Workload[]): ReadonlyMap<string, ReadonlySet<number>> {
  const numbers = new Map<string, Set<number>>();
  for (const { pods } of workloads) {
    for (const { ports = [] } of pods) {
      for (const { name, protocol, port } of ports) {
        const key = `${protocol}/${name}`;
        const known = numbers.get(key);
        if (known === undefined) numbers.set(key, new Set([port]));
        else known.add(port);
      }
    }
  }
  return numbers;
}
