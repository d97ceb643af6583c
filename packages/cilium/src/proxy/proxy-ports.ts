import type { Random } from "@cnilab/core";
import type { TrafficDirection } from "../policy/policy-map-key.ts";
import type { L7Parser } from "../policy/selector-policy.ts";

/** `proxy-portrange-min`, `-max`. */
const PROXY_PORT_MIN = 10_000;
const PROXY_PORT_MAX = 20_000;

/** As `cilium-dbg status` has it. */
export const PROXY_PORT_RANGE: string = `${PROXY_PORT_MIN}-${PROXY_PORT_MAX}`;

/** Listeners of proxies; those that CiliumEnvoyConfigs make are not modelled (pkg/proxy/proxyports defaultProxyPortMap). */
export type ListenerName =
  | "cilium-http-egress"
  | "cilium-http-ingress"
  | "cilium-dns-egress"
  | "cilium-proxylib-egress"
  | "cilium-proxylib-ingress";

/** Whose port a redirect leads to (FindByTypeWithReference); nothing for what has no listener. */
export function listenerOf(
  parser: L7Parser,
  direction: TrafficDirection,
): ListenerName | undefined {
  switch (parser) {
    case "":
    case "crd":
      return undefined;
    case "dns":
      return direction === "egress" ? "cilium-dns-egress" : undefined;
    case "http":
      return `cilium-http-${direction}`;
    default:
      return `cilium-proxylib-${direction}`;
  }
}

/** Ports of a node's proxies: one for each listener, chosen at random and kept (pkg/proxy/proxyports). */
export class ProxyPorts {
  readonly #random: Random;
  readonly #isOpen: (port: number) => boolean;
  readonly #ports = new Map<ListenerName, number>();

  /** @param isOpen whether a program of the node has the port */
  constructor(random: Random, isOpen: (port: number) => boolean) {
    this.#random = random;
    this.#isOpen = isOpen;
  }

  get(name: ListenerName): number | undefined {
    return this.#ports.get(name);
  }

  /** `undefined` where none is left. */
  allocate(name: ListenerName): number | undefined {
    const known = this.#ports.get(name);
    if (known !== undefined) return known;
    const count = PROXY_PORT_MAX - PROXY_PORT_MIN + 1;
    const taken = new Set(this.#ports.values());
    const start = this.#random.below(count);
    for (let i = 0; i < count; i++) {
      const port = PROXY_PORT_MIN + ((start + i) % count);
      if (taken.has(port) || this.#isOpen(port)) continue;
      this.#ports.set(name, port);
      return port;
    }
    return undefined;
  }
}
