import type { ChildProcess } from "node:child_process";
import { subscribe } from "node:diagnostics_channel";
import { relative } from "node:path";
import type { Reporter, TestModule, Vitest } from "vitest/node";

/** More than a single test may take (vitest.config.ts), so that Vitest itself ends what it can. */
const PATIENCE_MS = 800_000;

/**
 * Ends a run of tests from which nothing has been heard for a long time, and says where it hangs. Vitest's own time
 * limits are timers in the process that runs the tests: they never fire where a test does not return, and they do not
 * cover what a file does while it loads.
 */
export class StallWatch implements Reporter {
  readonly #patienceMs: number;
  readonly #running: Set<TestModule> = new Set();
  readonly #workers: Set<ChildProcess> = new Set();
  #root = "";
  #last = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(patienceMs: number = PATIENCE_MS) {
    this.#patienceMs = patienceMs;
  }

  onInit({ config }: Vitest): void {
    this.#root = config.root;
    subscribe("child_process", (message) => {
      this.#workers.add((message as { readonly process: ChildProcess }).process);
    });
  }

  onTestRunStart(): void {
    this.#heard();
  }

  onTestModuleQueued(module: TestModule): void {
    this.#running.add(module);
    this.#heard();
  }

  onTestModuleCollected(): void {
    this.#heard();
  }

  onTestCaseResult({ fullName }: { readonly fullName: string }): void {
    this.#last = fullName;
    this.#heard();
  }

  onTestModuleEnd(module: TestModule): void {
    this.#running.delete(module);
    this.#last = "";
    this.#heard();
  }

  onTestRunEnd(): void {
    clearTimeout(this.#timer);
  }

  #heard(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#giveUp(), this.#patienceMs);
    this.#timer.unref();
  }

  #giveUp(): void {
    const files = [...this.#running].map(({ moduleId }) => relative(this.#root, moduleId));
    const after = this.#last === "" ? "" : `, after "${this.#last}"`;
    console.error(
      `\nStopped: nothing heard for ${this.#patienceMs / 1000} s from ${files.join(", ") || "vitest"}${after}.`,
    );
    for (const worker of this.#workers) worker.kill("SIGKILL"); // what never returns hears of no other signal
    process.exit(1);
  }
}
