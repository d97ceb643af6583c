import type { PortRange } from "@cnilab/core";
import { ApiError } from "../api/api-error.ts";
import { fnv32a } from "../api/name-suffix.ts";

/** `--service-node-port-range` of the API server, where nobody sets it. */
export const NODE_PORT_RANGE: PortRange = { first: 30_000, last: 32_767 };

/**
 * Node ports, each of which one Service has; its TCP and its UDP port may share a number
 * (kube-apiserver pkg/registry/core/service/portallocator). Without a wish a Service gets one from the upper part of the range;
 * the lower part is left for people to choose from as long as there is another (KEP-3668).
 */
export class NodePortPool {
  readonly range: PortRange;
  readonly #seed: number;
  readonly #owners: Map<number, string>;

  constructor(
    seed: number,
    range: PortRange = NODE_PORT_RANGE,
    owners: ReadonlyMap<number, string> = new Map(),
  ) {
    this.range = range;
    this.#seed = seed;
    this.#owners = new Map(owners);
  }

  clone(): NodePortPool {
    return new NodePortPool(this.#seed, this.range, this.#owners);
  }

  ownerOf(port: number): string | undefined {
    return this.#owners.get(port);
  }

  /** @param field where the wish stands, as `spec.ports[0].nodePort`. @throws ApiError Invalid */
  take(port: number, owner: string, field: string): void {
    const { first, last } = this.range;
    if (port < first || port > last) {
      throw new ApiError(
        "Invalid",
        `${field}: Invalid value: ${port}: provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
      );
    }
    const other = this.#owners.get(port);
    if (other !== undefined && other !== owner) {
      throw new ApiError(
        "Invalid",
        `${field}: Invalid value: ${port}: provided port is already allocated (Service ${other} has it)`,
      );
    }
    this.#owners.set(port, owner);
  }

  /** @param what tells a Service's ports apart. @throws ApiError Invalid when all are taken */
  takeAny(owner: string, what: string): number {
    const { first, last } = this.range;
    const size = last - first + 1;
    const reserved = this.#reserved;
    const dynamic = size - reserved;
    const hash = fnv32a(`${owner} ${what}`, this.#seed ^ 0x811c9dc5);
    for (let i = 0; i < size; i++) {
      const offset = i < dynamic ? reserved + ((hash + i) % dynamic) : i - dynamic;
      const port = first + offset;
      if (this.#owners.has(port)) continue;
      this.#owners.set(port, owner);
      return port;
    }
    throw new ApiError(
      "Invalid",
      `failed to allocate a nodePort: range is full (${first}-${last}, ${size} ports)`,
    );
  }

  /** Length of the lower part: a 32nd of the range, 16 to 128 ports (`calculateRangeOffset`). */
  get #reserved(): number {
    const size = this.range.last - this.range.first + 1;
    return size <= 16 ? 0 : Math.min(Math.max(Math.floor(size / 32), 16), 128);
  }

  release(port: number, owner: string): void {
    if (this.#owners.get(port) === owner) this.#owners.delete(port);
  }
}
