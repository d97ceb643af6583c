import { type Labels, objectKey, type Service, selects } from "@cnilab/core";

/**
 * Services by what they select, so that a pod finds its Services without a look at all of them: each
 * waits under one of its labels, the one that fewest others wait under.
 */
export class ServiceIndex {
  readonly #byLabel = new Map<string, Map<string, Service>>();
  readonly #labelOf = new Map<string, string>();

  set(service: Service): void {
    const key = objectKey(service);
    this.delete(key);
    const { namespace } = service.metadata;
    let best: string | undefined;
    for (const [name, value] of Object.entries(service.spec.selector ?? {})) {
      const label = `${namespace}/${name}=${value}`;
      if (best === undefined || this.#waiting(label) < this.#waiting(best)) best = label;
    }
    if (best === undefined) return;
    this.#labelOf.set(key, best);
    const there = this.#byLabel.get(best);
    if (there === undefined) this.#byLabel.set(best, new Map([[key, service]]));
    else there.set(key, service);
  }

  delete(key: string): void {
    const label = this.#labelOf.get(key);
    if (label === undefined) return;
    this.#labelOf.delete(key);
    const there = this.#byLabel.get(label);
    there?.delete(key);
    if (there?.size === 0) this.#byLabel.delete(label);
  }

  /** Keys of the Services that select these labels. */
  selecting(namespace: string, labels: Labels): string[] {
    const found: string[] = [];
    for (const name in labels) {
      const there = this.#byLabel.get(`${namespace}/${name}=${labels[name]}`);
      if (there === undefined) continue;
      for (const [key, service] of there) {
        if (selects({ matchLabels: service.spec.selector as Labels }, labels)) found.push(key);
      }
    }
    return found;
  }

  #waiting(label: string): number {
    return this.#byLabel.get(label)?.size ?? 0;
  }
}
