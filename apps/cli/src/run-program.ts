import { InputError } from "@cnilab/core";
import { CommanderError } from "commander";
import { createProgram } from "./program.ts";
import type { ProgramIo } from "./program-io.ts";

const EXIT_BAD_INPUT = 2;
const EXIT_DEFECT = 3;

/** Does what the words of the command line ask for, and leaves behind what the process should end with. */
export async function runProgram(io: ProgramIo): Promise<void> {
  try {
    const words = command(io.argv.slice(2));
    const program = await createProgram(words, io);
    await program.parseAsync(words, { from: "user" });
  } catch (error) {
    io.exitCode = report(io, error);
  }
}

/** Flags alone are those of `run`, and nothing at all asks for help. */
function command(words: string[]): string[] {
  const [first = "--help"] = words;
  if (first === "--help") return [first];
  return first.startsWith("-") && !["-h", "--version"].includes(first) ? ["run", ...words] : words;
}

/** Says what went wrong, and hands back the exit code for it. */
export function report(io: ProgramIo, error: unknown): number {
  // Commander has printed its message already; --help and --version come this way, too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
  if (error instanceof InputError) {
    io.stderr.write(`cnilab: ${oneLine(error.message)}\n`);
    return EXIT_BAD_INPUT;
  }
  io.stderr.write(
    `cnilab: this is a defect of cnilab, please report it with the command that you ran:\n${
      error instanceof Error ? (error.stack ?? error.message) : String(error)
    }\n`,
  );
  return EXIT_DEFECT;
}

/** Input may be quoted in a message, line ends and all. */
function oneLine(text: string): string {
  return text.replace(/\s*[\r\n\u2028\u2029]\s*/g, " ");
}
