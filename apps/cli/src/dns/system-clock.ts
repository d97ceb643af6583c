import { performance } from "node:perf_hooks";
import type { Clock, Timer } from "@cnilab/core";

/** Real time, for servers that real clients ask. */
export class SystemClock implements Clock {
  readonly #start = performance.now();

  get now(): number {
    return performance.now() - this.#start;
  }

  schedule(delayMs: number, task: () => void, options?: { readonly background?: boolean }): Timer {
    const timer = setTimeout(task, delayMs);
    if (options?.background === true) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  }
}
