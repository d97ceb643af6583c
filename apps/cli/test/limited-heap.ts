import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { Answer, Call } from "./cnilab.ts";

/** Runs commands one after the other in a thread that may hold only so much; a command that needs more is rejected. */
export class LimitedHeap {
  readonly #megabytes: number;
  #worker: Worker | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(megabytes: number) {
    this.#megabytes = megabytes;
  }

  run(args: readonly string[], call: Call = {}): Promise<Answer> {
    const answer = this.#last.then(() => this.#run(args, call));
    this.#last = answer.catch(() => this.close());
    return answer;
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  async #run(args: readonly string[], call: Call): Promise<Answer> {
    this.#worker ??= new Worker(new URL("limited-heap-worker.ts", import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#megabytes },
    });
    this.#worker.postMessage({ args, call });
    const [answer] = await once(this.#worker, "message");
    return answer as Answer;
  }
}
