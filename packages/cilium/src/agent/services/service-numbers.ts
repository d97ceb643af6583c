import { type Backend, backendKey } from "../../services/backend.ts";
import { IdAllocator } from "../../services/id-allocator.ts";

const MAX_REV_NAT = 0xffff;
const MAX_BACKEND = 0xffffffff;

/**
 * Ids of frontends and backends. Each real agent counts for itself; here all nodes have the same numbers, so that what they
 * have in their maps is the same, too. A number stays while somebody holds what it is for.
 */
export class ServiceNumbers {
  readonly #frontends = new IdAllocator<number>(MAX_REV_NAT);
  readonly #backends = new IdAllocator<string>(MAX_BACKEND);
  readonly #frontendHolders = new Map<number, Set<string>>();
  readonly #backendHolders = new Map<string, Set<string>>();

  /** @returns the frontend's id; `undefined` where all are taken: the agent warns, and does not serve it */
  holdFrontend(frontend: number, holder: string): number | undefined {
    const id = this.#frontends.acquire(frontend);
    if (id !== undefined) hold(this.#frontendHolders, frontend, holder);
    return id;
  }

  releaseFrontend(frontend: number, holder: string): void {
    if (letGo(this.#frontendHolders, frontend, holder)) this.#frontends.release(frontend);
  }

  holdBackend(backend: Backend, holder: string): number {
    const key = backendKey(backend);
    hold(this.#backendHolders, key, holder);
    return this.#backends.acquire(key) as number;
  }

  releaseBackend(key: string, holder: string): void {
    if (letGo(this.#backendHolders, key, holder)) this.#backends.release(key);
  }

  backendId(backend: Backend): number {
    return this.#backends.get(backendKey(backend)) ?? 0;
  }
}

function hold<K>(holders: Map<K, Set<string>>, key: K, holder: string): void {
  const known = holders.get(key);
  if (known === undefined) holders.set(key, new Set([holder]));
  else known.add(holder);
}

/** @returns whether nobody holds it any more */
function letGo<K>(holders: Map<K, Set<string>>, key: K, holder: string): boolean {
  const known = holders.get(key);
  if (known === undefined) return false;
  known.delete(holder);
  if (known.size > 0) return false;
  holders.delete(key);
  return true;
}
