#!/usr/bin/env node
import process from "node:process";
import { InputError } from "@cnilab/core";
import { CommanderError } from "commander";
import { createProgram } from "./program.ts";

const EXIT_BAD_INPUT = 2;
const EXIT_DEFECT = 3;

// A reader that has seen enough, as `head`, closes the pipe: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(process.exitCode ?? 0);
  throw error;
});
// What an agent throws inside a stream comes this way. An interrupt is left to the kernel: the walk of
// packets never waits for an event, and whoever dies of SIGINT exits with 130 in every shell.
process.on("uncaughtException", (error) => process.exit(report(error)));

try {
  const words = command(process.argv.slice(2));
  const program = await createProgram(words);
  await program.parseAsync(words, { from: "user" });
} catch (error) {
  process.exitCode = report(error);
}

/** Flags alone are those of `run`, and nothing at all asks for help. */
function command(words: string[]): string[] {
  const [first = "--help"] = words;
  if (first === "--help") return [first];
  return first.startsWith("-") && !["-h", "--version"].includes(first) ? ["run", ...words] : words;
}

function report(error: unknown): number {
  // Commander has printed its message already; --help and --version come this way, too.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_BAD_INPUT;
  if (error instanceof InputError) {
    process.stderr.write(`cnilab: ${oneLine(error.message)}\n`);
    return EXIT_BAD_INPUT;
  }
  process.stderr.write(
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
