import type { Random } from "@cnilab/core";
import type { IpAddress } from "@cnilab/net";
import type { Endpoint } from "./endpoint.ts";

/** Numbers that endpoints of a node may have (pkg/endpointmanager/allocator.go). */
export const MIN_ENDPOINT_ID = 1;
export const MAX_ENDPOINT_ID = 4095;

/** The endpoints of one node (pkg/endpointmanager). */
export class EndpointTable {
  readonly #byId = new Map<number, Endpoint>();
  readonly #byAddress = new Map<IpAddress, Endpoint>();
  readonly #byPod = new Map<string, Endpoint>();
  readonly #byContainer = new Map<string, Endpoint>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): Iterator<Endpoint> {
    return this.#byId.values();
  }

  get(id: number): Endpoint | undefined {
    return this.#byId.get(id);
  }

  byAddress(address: IpAddress): Endpoint | undefined {
    return this.#byAddress.get(address);
  }

  /** @param key `namespace/name` */
  byPod(key: string): Endpoint | undefined {
    return this.#byPod.get(key);
  }

  byContainer(containerId: string, interfaceName: string): Endpoint | undefined {
    return this.#byContainer.get(`${containerId}:${interfaceName}`);
  }

  get host(): Endpoint | undefined {
    for (const endpoint of this) if (endpoint.isHost) return endpoint;
    return undefined;
  }

  /** A number that no endpoint has, any of them (pkg/idpool); `undefined` where all are taken. */
  freeId(): number | undefined {
    const count = MAX_ENDPOINT_ID - MIN_ENDPOINT_ID + 1;
    if (this.#byId.size >= count) return undefined;
    for (let id = this.#random.below(count); ; id = (id + 1) % count) {
      if (!this.#byId.has(MIN_ENDPOINT_ID + id)) return MIN_ENDPOINT_ID + id;
    }
  }

  add(endpoint: Endpoint): void {
    this.#byId.set(endpoint.id, endpoint);
    for (const address of endpoint.addresses) this.#byAddress.set(address, endpoint);
    if (endpoint.podKey !== undefined) this.#byPod.set(endpoint.podKey, endpoint);
    this.#byContainer.set(containerKey(endpoint), endpoint);
  }

  remove(endpoint: Endpoint): void {
    this.#byId.delete(endpoint.id);
    for (const address of endpoint.addresses) {
      if (this.#byAddress.get(address) === endpoint) this.#byAddress.delete(address);
    }
    const { podKey } = endpoint;
    if (podKey !== undefined && this.#byPod.get(podKey) === endpoint) this.#byPod.delete(podKey);
    this.#byContainer.delete(containerKey(endpoint));
  }
}

function containerKey({ containerId, interfaceName }: Endpoint): string {
  return `${containerId}:${interfaceName}`;
}
