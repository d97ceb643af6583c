#!/usr/bin/env node
import process from "node:process";
import { InputError } from "@cnilab/core";
import { CommanderError } from "commander";
import { createProgram } from "./program.ts";

/** Done, but the answer is "no". */
export const EXIT_NO = 1;
const EXIT_BAD_INPUT = 2;
const EXIT_DEFECT = 3;
const EXIT_INTERRUPTED = 130;

// A reader that has seen enough, as `head`, closes the pipe: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
process.once("SIGINT", () => process.exit(EXIT_INTERRUPTED));

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  process.exitCode = report(error);
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

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, " ");
}
