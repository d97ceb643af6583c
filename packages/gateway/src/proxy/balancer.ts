import type { Random } from "@cnilab/core";
import { formatEndpoint } from "@cnilab/net";
import type { ProxyEndpoint } from "./endpoint-index.ts";

/** Takes turns over the endpoints of each backend, from a random one on (lua-resty-balancer's round robin). */
export class RoundRobin {
  readonly #random: Random;
  readonly #next = new Map<string, number>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** @param endpoints at least one */
  pick(backend: string, endpoints: readonly ProxyEndpoint[]): ProxyEndpoint {
    const at = this.#next.get(backend) ?? this.#random.below(endpoints.length);
    const picked = endpoints[at % endpoints.length] as ProxyEndpoint;
    this.#next.set(backend, (at + 1) % endpoints.length);
    return picked;
  }
}

/** What a session cookie says of an endpoint: any proxy finds it again, and a client does not read its address. */
export function endpointToken(endpoint: ProxyEndpoint): string {
  const text = formatEndpoint(endpoint.address, endpoint.port);
  // FNV-1a, once forwards and once backwards: 64 bits are plenty for the endpoints of one backend.
  let [low, high] = [0x811c9dc5, 0x811c9dc5];
  for (let i = 0; i < text.length; i++) {
    low = Math.imul(low ^ text.charCodeAt(i), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(text.length - 1 - i), 0x01000193);
  }
  return [high, low].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
