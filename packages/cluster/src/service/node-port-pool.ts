import { ApiError } from "../api/api-error.ts";
import { fnv32a } from "../api/name-suffix.ts";

/** `--service-node-port-range` of the API server. */
export const NODE_PORT_FIRST = 30_000;
export const NODE_PORT_LAST = 32_767;

/** Ports at the low end that are left for people to choose (KEP-3668): a 32nd of the range, 16 to 128. */
const RESERVED = 86;

/** Node ports, each of which one Service has; its TCP and its UDP port may share a number. */
export class NodePortPool {
  readonly #seed: number;
  readonly #owners: Map<number, string>;

  constructor(seed: number, owners: ReadonlyMap<number, string> = new Map()) {
    this.#seed = seed;
    this.#owners = new Map(owners);
  }

  clone(): NodePortPool {
    return new NodePortPool(this.#seed, this.#owners);
  }

  /** @throws ApiError Invalid */
  take(port: number, owner: string): void {
    if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST) {
      throw new ApiError(
        "Invalid",
        `nodePort: ${port} is not in the range ${NODE_PORT_FIRST}-${NODE_PORT_LAST}`,
      );
    }
    const other = this.#owners.get(port);
    if (other !== undefined && other !== owner) {
      throw new ApiError("Invalid", `nodePort: ${port} is already allocated to Service ${other}`);
    }
    this.#owners.set(port, owner);
  }

  /** @param what tells a Service's ports apart. @throws ApiError Invalid when all are taken */
  takeAny(owner: string, what: string): number {
    const dynamic = NODE_PORT_LAST - NODE_PORT_FIRST + 1 - RESERVED;
    const hash = fnv32a(`${owner} ${what}`, this.#seed ^ 0x811c9dc5);
    for (let i = 0; i < dynamic + RESERVED; i++) {
      const offset = i < dynamic ? RESERVED + ((hash + i) % dynamic) : i - dynamic;
      const port = NODE_PORT_FIRST + offset;
      if (this.#owners.has(port)) continue;
      this.#owners.set(port, owner);
      return port;
    }
    throw new ApiError(
      "Invalid",
      `nodePort: all of ${NODE_PORT_FIRST}-${NODE_PORT_LAST} are allocated`,
    );
  }

  release(port: number, owner: string): void {
    if (this.#owners.get(port) === owner) this.#owners.delete(port);
  }
}
