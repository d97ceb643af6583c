import type { Pod } from "@cnilab/core";
import type { L4Proto } from "../../api/v2/rule.ts";

/** A pod's ports by their names: `TCP/8080`. */
export type PodPorts = ReadonlyMap<string, string>;

/** Of a pod's containers; of two of one name the last counts (pkg/k8s/watchers/pod.go). */
export function portsOfPod({ spec }: Pod): PodPorts {
  const ports = new Map<string, string>();
  for (const { ports: own = [] } of spec.containers) {
    for (const { name, containerPort, protocol = "TCP" } of own) {
      if (name !== undefined) ports.set(name.toLowerCase(), `${protocol}/${containerPort}`);
    }
  }
  return ports;
}

/** The endpoint's own port of that name (pkg/types/portmap.go NamedPortMap.GetNamedPort); 0 where there is none. */
export function ownNamedPort(ports: PodPorts, name: string, protocol: L4Proto): number {
  const [own, port] = ports.get(name)?.split("/") ?? [];
  return own === protocol || protocol === "ANY" ? Number(port ?? 0) : 0;
}

/**
 * Named ports of all pods: what goes out to a port's name goes to the number that pods have for it, as long as they have one alone
 * (NamedPortMultiMap).
 */
export class NamedPorts {
  readonly #ofPod = new Map<string, PodPorts>();
  /** How many pods have a port, by its name and by itself. */
  readonly #counts = new Map<string, Map<string, number>>();

  /** @returns whether what names stand for has changed */
  set(podKey: string, ports: PodPorts | undefined): boolean {
    const before = this.#ofPod.get(podKey);
    if (ports === undefined || ports.size === 0) this.#ofPod.delete(podKey);
    else this.#ofPod.set(podKey, ports);
    let changed = false;
    for (const [name, port] of ports ?? []) {
      if (before?.get(name) === port) continue;
      const counts = this.#counts.get(name) ?? new Map<string, number>();
      this.#counts.set(name, counts);
      const count = counts.get(port) ?? 0;
      counts.set(port, count + 1);
      changed ||= count === 0;
    }
    for (const [name, port] of before ?? []) {
      if (ports?.get(name) === port) continue;
      const counts = this.#counts.get(name);
      const count = (counts?.get(port) ?? 0) - 1;
      if (count > 0) counts?.set(port, count);
      else {
        counts?.delete(port);
        if (counts?.size === 0) this.#counts.delete(name);
        changed = true;
      }
    }
    return changed;
  }

  /** 0 where no pod has it, or pods do not agree. */
  get(name: string, protocol: L4Proto): number {
    let found = 0;
    for (const text of this.#counts.get(name)?.keys() ?? []) {
      const [own, port] = text.split("/");
      if (own !== protocol) continue;
      const number = Number(port);
      if (found !== 0 && found !== number) return 0;
      found = number;
    }
    return found;
  }
}
