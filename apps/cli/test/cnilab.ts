import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Output, ProgramIo } from "../src/program-io.ts";
import { runProgram } from "../src/run-program.ts";

export const ROOT: string = fileURLToPath(new URL("../../..", import.meta.url));
/** The program, for Node. */
export const MAIN: string = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** Manifests of others, which a clone alone does not have. */
export const MANIFESTS: string = fileURLToPath(
  new URL("../../../../shared/manifests", import.meta.url),
);
export const hasManifests: boolean = existsSync(MANIFESTS);
/** What the real programs left of their work, as input and expected output. */
export const VECTORS: string = fileURLToPath(
  new URL("../../../../shared/vectors", import.meta.url),
);
export const hasVectors: boolean = existsSync(VECTORS);

/** What a user gets to see. */
export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as it came. */
  readonly bytes: Buffer;
}

export interface Call {
  /** Standard input; closed at once where it is absent. */
  readonly input?: string;
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** What the program reads and writes, in this process. */
class Capture implements ProgramIo {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly out: Buffer[] = [];
  readonly err: Buffer[] = [];
  readonly stdout: Output = { write: (chunk) => this.out.push(Buffer.from(chunk)) };
  readonly stderr: Output = { write: (chunk) => this.err.push(Buffer.from(chunk)) };
  exitCode?: number;
  readonly #cwd: string;

  constructor(args: readonly string[], { input = "", cwd, env }: Call) {
    this.argv = [process.execPath, MAIN, ...args];
    this.env = { ...process.env, npm_lifecycle_event: undefined, ...env };
    this.stdin = Readable.from(input === "" ? [] : [Buffer.from(input)]);
    this.#cwd = cwd ?? process.cwd();
  }

  cwd(): string {
    return this.#cwd;
  }
}

/** Runs the command as a user would, in the process of the test: there it starts at once. */
export async function cnilab(args: readonly string[], call: Call = {}): Promise<Answer> {
  const io = new Capture(args, call);
  await runProgram(io);
  const bytes = Buffer.concat(io.out);
  return {
    status: io.exitCode ?? 0,
    bytes,
    stdout: bytes.toString(),
    stderr: Buffer.concat(io.err).toString(),
  };
}

/** What becomes of a process. */
export interface Ended extends Omit<Answer, "status"> {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ProcessCall extends Call {
  /** In place of Node and the program itself. */
  readonly program?: readonly string[];
  /** Called with the running program. */
  readonly meanwhile?: (child: ChildProcess) => void;
}

/** Runs the command in a process of its own, for tests that are about the process. */
export function cnilabProcess(args: readonly string[], call: ProcessCall = {}): Promise<Ended> {
  const [file = "", ...first] = call.program ?? [
    process.execPath,
    "--disable-warning=ExperimentalWarning",
    MAIN,
  ];
  const child = spawn(file, [...first, ...args], {
    cwd: call.cwd,
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: `${ROOT}/.tools/compile-cache`,
      npm_lifecycle_event: undefined,
      ...call.env,
    },
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  // A program that has found a mistake does not wait for the rest of its input.
  child.stdin.on("error", () => {});
  if (call.meanwhile === undefined) child.stdin.end(call.input ?? "");
  else call.meanwhile(child);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      const bytes = Buffer.concat(out);
      resolve({
        status,
        signal,
        bytes,
        stdout: bytes.toString(),
        stderr: Buffer.concat(err).toString(),
      });
    });
  });
}
