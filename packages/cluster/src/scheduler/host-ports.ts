import type { Pod } from "@cnilab/core";

/** A port that a pod takes on its node. */
export interface HostPort {
  /** `0.0.0.0` for all of the node's addresses. */
  readonly ip: string;
  /** As `TCP 8080`. */
  readonly port: string;
}

const ALL = "0.0.0.0";

/** Ports that a pod takes on its node; with the node's network, all that it listens on. */
export function hostPortsOf(pod: Pod): HostPort[] {
  const found: HostPort[] = [];
  for (const { ports } of pod.spec.containers) {
    for (const { hostPort, hostIP, containerPort, protocol = "TCP" } of ports ?? []) {
      const number = pod.spec.hostNetwork === true ? (hostPort ?? containerPort) : hostPort;
      if (number === undefined || number === 0) continue;
      found.push({ ip: hostIP || ALL, port: `${protocol} ${number}` });
    }
  }
  return found;
}

/** Ports that are in use on a node (kube-scheduler framework `HostPortInfo`). */
export class HostPorts {
  /** By port, then by address: how many pods. */
  readonly #uses = new Map<string, Map<string, number>>();

  change({ ip, port }: HostPort, by: 1 | -1): void {
    const byIp = this.#uses.get(port) ?? new Map<string, number>();
    const count = (byIp.get(ip) ?? 0) + by;
    if (count > 0) byIp.set(ip, count);
    else byIp.delete(ip);
    if (byIp.size > 0) this.#uses.set(port, byIp);
    else this.#uses.delete(port);
  }

  /** Whether somebody has the port on that address, or one of the two has it on all. */
  conflicts({ ip, port }: HostPort): boolean {
    const byIp = this.#uses.get(port);
    if (byIp === undefined) return false;
    return ip === ALL || byIp.has(ALL) || byIp.has(ip);
  }
}
