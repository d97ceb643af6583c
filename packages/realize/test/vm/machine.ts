import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { script } from "../../src/index.ts";
import type { RealSide } from "../fuzz/compare.ts";
import type { Model } from "../fuzz/model.ts";
import { type Result, requestOf, verdictsOf } from "../fuzz/real.ts";
import type { Verdict } from "../fuzz/topology.ts";

/** What a request file gets for an answer. */
type Answer = { readonly results: Record<string, Result> } | { readonly error: string };

/** The program that runs a command on a stock Debian kernel: beside the project, or where RUN_IN_VM says. */
const RUN_IN_VM = process.env["RUN_IN_VM"] ?? inProject("../shared/tools/run-in-vm");

function inProject(path: string): string {
  return fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
}

/** Why no virtual machine can be started here, or `undefined`. */
export function whyNoMachine(): string | undefined {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(RUN_IN_VM)) return `needs ${RUN_IN_VM} (or RUN_IN_VM)`;
  for (const tool of ["qemu-system-x86_64", "depmod"]) {
    if (spawnSync("which", [tool]).status !== 0) return `needs ${tool}`;
  }
  return undefined;
}

/**
 * A virtual machine with Debian's 6.1 kernel, whose sources the model cites, and all of its modules.
 * Requests and answers are files in a folder that both sides see.
 */
export class VirtualMachine implements RealSide {
  /** Debian's (../shared/specs/vm-kernel.md). */
  readonly release = "6.1";
  readonly #folder: string;
  readonly #child: ChildProcess;
  #requests = 0;
  /** How many more cases it can do at once, and who waits for that. */
  #room: number;
  readonly #waiting: (() => void)[] = [];
  #ended: string | undefined;

  private constructor(seconds: number, atOnce: number) {
    this.#room = atOnce;
    this.#folder = mkdtempSync(join(tmpdir(), "cnilab-vm."));
    const start = fileURLToPath(new URL("start.sh", import.meta.url));
    const args = ["-t", `${seconds}`, "-w", this.#folder, "--", start, this.#folder];
    this.#child = spawn(RUN_IN_VM, args, { stdio: ["ignore", "inherit", "inherit"] });
    this.#child.once("error", (error) => {
      this.#ended = error.message;
    });
    this.#child.once("exit", (status) => {
      this.#ended = `the virtual machine ended with status ${status}`;
    });
  }

  /** @throws Error where it does not come up */
  static async start(seconds: number, atOnce: number): Promise<VirtualMachine> {
    const machine = new VirtualMachine(seconds, atOnce);
    await machine.#file("ready");
    return machine;
  }

  async verdicts(model: Model, prefix: string): Promise<Verdict[]> {
    if (this.#room > 0) this.#room--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await this.#ask(model, prefix);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#room++;
      else next();
    }
  }

  async #ask(model: Model, prefix: string): Promise<Verdict[]> {
    const path = join(this.#folder, `${++this.#requests}`);
    const made = script(model.network, { prefix });
    const request = requestOf(model, prefix);
    writeFileSync(`${path}.new`, JSON.stringify({ prefix, script: made.text, request }));
    renameSync(`${path}.new`, `${path}.json`); // whole, or not there
    const answer: Answer = JSON.parse(
      await this.#file(`${path.slice(this.#folder.length + 1)}.out`),
    );
    if ("error" in answer) throw new Error(answer.error);
    return verdictsOf(answer.results, model, prefix);
  }

  /** What a file holds, once it is there. */
  async #file(name: string): Promise<string> {
    const path = join(this.#folder, name);
    while (!existsSync(path)) {
      if (this.#ended !== undefined) throw new Error(this.#ended);
      await sleep(50);
    }
    return readFileSync(path, "utf8");
  }

  async stop(): Promise<void> {
    writeFileSync(join(this.#folder, "end"), "");
    if (this.#ended === undefined) {
      await new Promise((resolve) => this.#child.once("exit", resolve));
    }
    rmSync(this.#folder, { recursive: true });
  }
}
