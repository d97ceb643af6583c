import type { DependencyContainer } from "./tokens.ts";

/** What tsyringe takes as a provider: calls `useFactory` with the container that is asked. */
export interface PerNodeProvider<T> {
  readonly useFactory: (container: DependencyContainer) => T;
}

/**
 * A provider for something that each node has one of: made with the node's own container when it is
 * first asked for, and the same from then on. `container.register(BRIDGE, perNode((c) => new …))`.
 */
export function perNode<T>(make: (container: DependencyContainer) => T): PerNodeProvider<T> {
  const made = new WeakMap<DependencyContainer, { readonly value: T }>();
  return {
    useFactory(container) {
      let entry = made.get(container);
      if (entry === undefined) {
        entry = { value: make(container) };
        made.set(container, entry);
      }
      return entry.value;
    },
  };
}
